#include "service/orders/event_retention.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/logged_lines.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Counts what it is asked to remove.
class TrimmedLog final : public FakeOrderLog {
 public:
  absl::StatusOr<std::int64_t> Trim(std::int64_t before, Deadline, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    if (!fault_.ok()) return fault_;
    trims_.push_back(before);
    changed_.notify_all();
    if (endless_) changed_.wait_for(lock, stop, testkit::kLong, [] { return false; });
    stopped_ = stop.stop_requested();
    return 0;
  }
  // From now on a removal ends only when it is stopped.
  void MakeEndless() {
    std::lock_guard lock(mutex_);
    endless_ = true;
  }
  bool AwaitTrim() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, testkit::kLong, [this] { return !trims_.empty(); });
  }
  bool stopped() {
    std::lock_guard lock(mutex_);
    return stopped_;
  }
  void FailTrims(absl::Status fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
  }
  std::vector<std::int64_t> trims() {
    std::lock_guard lock(mutex_);
    return trims_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool endless_ = false;             // Guarded by mutex_.
  bool stopped_ = false;             // Guarded by mutex_.
  absl::Status fault_;               // Guarded by mutex_.
  std::vector<std::int64_t> trims_;  // Guarded by mutex_.
};

class EventRetentionTest : public ::testing::Test {
 protected:
  ~EventRetentionTest() override { thread_.request_stop(); }

  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) { retention_.Run(stop); });
    clock_.AwaitWaiters(1);
  }
  void Later() {
    clock_.Advance(std::chrono::seconds(10));
    clock_.AwaitWaiters(1);
  }

  lifecycle::FakeClock clock_;
  TrimmedLog log_;
  EventRetention retention_{log_, 100, clock_};
  std::jthread thread_;
};

TEST_F(EventRetentionTest, RemovesNothingWhileThereAreFewEvents) {
  log_.Append(100);
  Start();
  EXPECT_THAT(log_.trims(), IsEmpty());
}

TEST_F(EventRetentionTest, KeepsLastEventsAndRemovesOldOnesLater) {
  log_.Append(150);
  Start();
  log_.Append(30);
  Later();
  // 51 to 150 stay, and then 81 to 180.
  EXPECT_THAT(log_.trims(), ElementsAre(51, 81));
}

TEST_F(EventRetentionTest, AStopEndsALongRemoval) {
  log_.Append(101);
  log_.MakeEndless();
  thread_ = std::jthread([this](std::stop_token stop) { retention_.Run(stop); });
  ASSERT_TRUE(log_.AwaitTrim());
  thread_.request_stop();
  thread_.join();
  EXPECT_TRUE(log_.stopped());
}

TEST_F(EventRetentionTest, RetriesAFailedRemovalAndLogsOnlyChanges) {
  const LoggedLines logged;
  log_.Append(101);
  log_.FailTrims(absl::UnavailableError("no server"));
  Start();
  Later();
  Later();
  log_.FailTrims(absl::OkStatus());
  Later();
  Later();
  EXPECT_THAT(log_.trims(), ElementsAre(2, 2));
  EXPECT_THAT(logged.Get(), ElementsAre(HasSubstr("no server"), HasSubstr("removed again")));
}

}  // namespace
}  // namespace orders
