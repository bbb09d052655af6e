#include "service/rpc/listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/rpc/testing/callers.h"

namespace rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::unique_ptr<Listener> BindOrDie(const std::string& address = "127.0.0.1:0") {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(address);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *std::move(listener);
}

absl::Status BindError(const std::string& address) { return Listener::Bind(address).status(); }

// Takes connections, and greets each so that its caller knows.
class Host {
 public:
  ~Host() {
    for (const int fd : accepted_) close(fd);
  }

  Listener::Accept Accept() {
    return [this](int listener_fd, int fd) {
      EXPECT_GE(listener_fd, 0);
      std::lock_guard lock(mutex_);
      accepted_.push_back(fd);
      EXPECT_EQ(write(fd, "hello", 5), 5);
    };
  }

  std::vector<int> accepted() {
    std::lock_guard lock(mutex_);
    return accepted_;
  }

 private:
  std::mutex mutex_;
  std::vector<int> accepted_;  // Guarded by mutex_.
};

std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

TEST(Listener, HandsOverWhoArrives) {
  Host host;
  const auto listener = BindOrDie();
  EXPECT_THAT(listener->address(), MatchesRegex("127\\.0\\.0\\.1:[0-9]+"));
  listener->Start(host.Accept());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
  listener->Close();  // The host notes whom it has greeted.
  EXPECT_EQ(host.accepted().size(), 3u);
}

TEST(Listener, HandsOverSocketsThatNeitherBlockNorDelayNorLeakIntoChildren) {
  Host host;
  const auto listener = BindOrDie();
  listener->Start(host.Accept());
  RawConnection caller(listener->address());
  ASSERT_TRUE(caller.Receive("hello"));
  listener->Close();
  ASSERT_EQ(host.accepted().size(), 1u);
  const int fd = host.accepted()[0];
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  int no_delay = 0;
  socklen_t size = sizeof no_delay;
  ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  EXPECT_TRUE(no_delay);
}

TEST(Listener, CutsWhatCameInAndNothingElse) {
  Host host;
  Host other_host;
  const auto listener = BindOrDie();
  const auto other = BindOrDie();
  listener->Start(host.Accept());
  other->Start(other_host.Accept());
  RawConnection caller(listener->address());
  RawConnection other_caller(other->address());
  ASSERT_TRUE(caller.Receive("hello"));
  ASSERT_TRUE(other_caller.Receive("hello"));
  listener->Close();
  other->Close();

  listener->CutConnections();
  ASSERT_EQ(host.accepted().size(), 1u);
  ASSERT_EQ(other_host.accepted().size(), 1u);
  EXPECT_EQ(send(host.accepted()[0], "more", 4, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(send(other_host.accepted()[0], "more", 4, MSG_NOSIGNAL), 4);
  EXPECT_TRUE(other_caller.Receive("more"));
}

TEST(Listener, LetsCallersWaitUntilItStarts) {
  Host host;
  const auto listener = BindOrDie();
  RawConnection early(listener->address());
  ASSERT_TRUE(early.connected());
  listener->Start(host.Accept());
  EXPECT_TRUE(early.Receive("hello"));
}

TEST(Listener, HandsOverEverybodyWhoHadArrivedBeforeClose) {
  constexpr int kCallers = 200;
  Host host;
  const auto listener = BindOrDie();
  std::vector<std::unique_ptr<RawConnection>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<RawConnection>(listener->address()));
    ASSERT_TRUE(callers.back()->connected());
  }
  // Closes while nearly all of them still wait.
  listener->Start(host.Accept());
  listener->Close();
  EXPECT_EQ(host.accepted().size(), static_cast<std::size_t>(kCallers));
  for (const auto& caller : callers) EXPECT_TRUE(caller->Receive("hello"));
}

TEST(Listener, RefusesWhoComesAfterClose) {
  Host host;
  const auto listener = BindOrDie();
  listener->Start(host.Accept());
  RawConnection before(listener->address());
  listener->Close();
  EXPECT_FALSE(RawConnection(listener->address()).connected());
  EXPECT_TRUE(before.Receive("hello")) << "those that were there before are left alone";
  listener->Close();
}

TEST(Listener, NeverSharesItsPort) {
  const auto listener = BindOrDie();
  const absl::Status second = BindError(listener->address());
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(listener->address()));
  EXPECT_THAT(std::string(second.message()), HasSubstr("--address"));
}

TEST(Listener, TakesAPortWhoseOldConnectionsLinger) {
  Host host;
  auto listener = BindOrDie();
  const std::string address = listener->address();
  listener->Start(host.Accept());
  RawConnection caller(address);
  ASSERT_TRUE(caller.Receive("hello"));
  listener.reset();
  EXPECT_EQ(BindOrDie(address)->address(), address);
}

TEST(Listener, NamesAnAddressThatIsNone) {
  for (const char* address : {"", ":", "localhost", "127.0.0.1:", ":80", "127.0.0.1:http",
                              "127.0.0.1:-1", "127.0.0.1:65536", "[]:80"}) {
    const absl::Status status = BindError(address);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << address << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("HOST:PORT"));
  }
}

TEST(Listener, NamesAHostThatDoesNotExist) {
  const absl::Status status = BindError("no-such-host.invalid:80");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid"));
}

TEST(Listener, NamesAnAddressOfAnotherMachine) {
  const absl::Status status = BindError("192.0.2.1:0");  // RFC 5737: nobody's.
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("0.0.0.0"));
}

TEST(Listener, ListensOnIPv6) {
  Host host;
  const absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind("[::1]:0");
  if (!listener.ok()) GTEST_SKIP() << "no IPv6 here: " << listener.status();
  EXPECT_THAT((*listener)->address(), MatchesRegex("\\[::1\\]:[0-9]+"));
  (*listener)->Start(host.Accept());
  EXPECT_TRUE(RawConnection((*listener)->address()).Receive("hello"));
}

TEST(Listener, LooksAHostNameUp) {
  Host host;
  const auto listener = BindOrDie("localhost:0");
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
}

TEST(Listener, LeavesNoDescriptorBehind) {
  const std::ptrdiff_t before = OpenDescriptors();
  {
    Host host;
    const auto listener = BindOrDie();
    listener->Start(host.Accept());
    EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
    EXPECT_FALSE(Listener::Bind(listener->address()).ok());
  }
  { BindOrDie(); }  // Never started.
  EXPECT_EQ(OpenDescriptors(), before);
}

// With no descriptor left it neither gives up nor hangs.
class ListenerWithoutDescriptors : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(caller_.connected());
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int lowest_free = dup(0);
    ASSERT_GE(lowest_free, 0);
    close(lowest_free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  void TearDown() override { setrlimit(RLIMIT_NOFILE, &before_); }

  Host host_;
  std::unique_ptr<Listener> listener_ = BindOrDie();
  RawConnection caller_{listener_->address()};
  rlimit before_{};
};

TEST_F(ListenerWithoutDescriptors, AcceptsAgainWhenThereAreSome) {
  listener_->Start(host_.Accept());
  // Long enough to have found none; were it not, the test would prove less and not fail.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  setrlimit(RLIMIT_NOFILE, &before_);
  EXPECT_TRUE(caller_.Receive("hello"));
}

TEST_F(ListenerWithoutDescriptors, ClosesAllTheSame) {
  listener_->Start(host_.Accept());
  listener_->Close();
  EXPECT_TRUE(host_.accepted().empty());
  EXPECT_TRUE(caller_.AwaitEnd());
}

}  // namespace
}  // namespace rpc
