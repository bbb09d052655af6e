#include "service/lifecycle/last_resort/thread_stacks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace lifecycle {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::chrono::seconds kLimit(60);

// A thread that waits in a function of this name until it is destroyed.
class Waiter {
 public:
  explicit Waiter(const char* name, bool deaf = false)
      : thread_([=, this] {
          pthread_setname_np(pthread_self(), name);
          if (deaf) {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, nullptr);
          }
          WaitsHereUntilItMayGo();
        }) {
    while (!waits_) std::this_thread::yield();
  }
  ~Waiter() {
    {
      std::lock_guard lock(mutex_);
      may_go_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  [[gnu::noinline]] void WaitsHereUntilItMayGo() {
    std::unique_lock lock(mutex_);
    waits_ = true;
    changed_.wait(lock, [this] { return may_go_; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool may_go_ = false;  // Guarded by mutex_.
  std::atomic<bool> waits_ = false;
  std::thread thread_;
};

std::string Stacks() {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  PrepareThreadStacks();
  WriteThreadStacks(ends[1], kLimit);
  close(ends[1]);
  std::string text;
  char bytes[4096];
  for (ssize_t size; (size = read(ends[0], bytes, sizeof bytes)) > 0;) text.append(bytes, size);
  close(ends[0]);
  return text;
}

TEST(ThreadStacksTest, NameTheFunctionsOfEachThread) {
  const Waiter relay("relay");
  EXPECT_THAT(Stacks(), ContainsRegex("thread [0-9]+ relay\n(    .*\n)*"
                                      "    .*WaitsHereUntilItMayGo.*\n"));
}

TEST(ThreadStacksTest, BeginWithTheThreadThatAsks) {
  const Waiter relay("relay");
  EXPECT_THAT(Stacks(), MatchesRegex("thread [0-9]+ [^\n]+\n(    [^\n]+\n)*"
                                     "    [^\n]*Stacks[^\n]*\n.*thread [0-9]+ relay\n.*"));
}

TEST(ThreadStacksTest, ListAThreadThatDoesNotAnswer) {
  const Waiter deaf("deaf", /*deaf=*/true);
  const Waiter relay("relay");
  const std::string stacks = Stacks();
  EXPECT_THAT(stacks, ContainsRegex("thread [0-9]+ deaf: no stack available\n"));
  EXPECT_THAT(stacks, HasSubstr("WaitsHereUntilItMayGo"));
}

TEST(ThreadStacksTest, LeaveTheThreadsAsTheyWere) {
  const Waiter relay("relay");
  EXPECT_NE(Stacks(), "");
  EXPECT_NE(Stacks(), "");
}

TEST(ThreadStacksTest, AreOmittedWhenThereIsNoTime) {
  const Waiter relay("relay");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  WriteThreadStacks(ends[1], std::chrono::seconds(0));
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

TEST(ThreadStacksTest, AreGivenUpWhenNobodyReadsThem) {
  const Waiter relay("relay");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
  ASSERT_EQ(write(ends[1], std::string(4090, '.').data(), 4090), 4090);
  WriteThreadStacks(ends[1], std::chrono::milliseconds(20));
  char bytes[8192];
  EXPECT_EQ(read(ends[0], bytes, sizeof bytes), 4090);  // "thread " fits no more.
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace lifecycle
