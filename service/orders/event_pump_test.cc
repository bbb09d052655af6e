#include "service/orders/event_pump.h"

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/status_details.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::int64_t> FromTo(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> numbers(last - first + 1);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// A stream as the pump sees it: remembers what it was given.
class Stream {
 public:
  bool Send(const OrderEvent& event) {
    std::lock_guard lock(mutex_);
    sent_.push_back(event.sequence);
    changed_.notify_all();
    return wants_(event.sequence);
  }
  void Fail(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(failure_, std::nullopt) << "told twice";
    failure_ = status;
    changed_.notify_all();
  }

  void Want(std::function<bool(std::int64_t)> wants) { wants_ = std::move(wants); }

  // Whether it is given so many.
  bool Await(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, testkit::kLong, [&] { return sent_.size() >= count; });
  }
  absl::Status AwaitFailure() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, testkit::kLong, [this] { return failure_.has_value(); });
    return failure_.value_or(absl::OkStatus());
  }
  std::vector<std::int64_t> sent() const {
    std::lock_guard lock(mutex_);
    return sent_;
  }

 private:
  std::function<bool(std::int64_t)> wants_ = [](std::int64_t) { return true; };
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> sent_;       // Guarded by mutex_.
  std::optional<absl::Status> failure_;  // Guarded by mutex_.
};

class EventPumpTest : public ::testing::Test {
 protected:
  std::shared_ptr<EventPump> Create(std::int64_t sequence) {
    return EventPump::Create(
        sequence, log_, *feed_, pool_,
        [this](const OrderEvent& event) { return stream_.Send(event); },
        [this](const absl::Status& status) { stream_.Fail(status); });
  }
  // As another replica would, or this one: the feed has heard of it already.
  void AppendAndTell(int count) {
    log_.Append(count);
    ASSERT_TRUE(feed_->CatchUp().ok());
  }

  FakeOrderLog log_;
  const std::unique_ptr<Sales> sales_ = *Sales::Load(log_);
  std::optional<EventFeed> feed_{std::in_place, log_, *sales_};
  Stream stream_;
  rpc::BlockingPool pool_{2, 100};
};

TEST_F(EventPumpTest, SendsNothingBeforeTheStreamIsReady) {
  const auto pump = Create(0);
  AppendAndTell(3);
  EXPECT_THAT(stream_.sent(), IsEmpty());
  pump->Sent();
  EXPECT_THAT(stream_.sent(), ElementsAre(1));
}

TEST_F(EventPumpTest, SendsTheNextWhenTheLastIsSent) {
  const auto pump = Create(1);
  AppendAndTell(4);
  pump->Sent();
  EXPECT_THAT(stream_.sent(), ElementsAre(2));
  AppendAndTell(1);
  EXPECT_THAT(stream_.sent(), ElementsAre(2));
  pump->Sent();
  pump->Sent();
  pump->Sent();
  EXPECT_THAT(stream_.sent(), ElementsAre(2, 3, 4, 5));
  pump->Sent();
  EXPECT_THAT(stream_.sent(), ElementsAre(2, 3, 4, 5));
  AppendAndTell(1);
  EXPECT_THAT(stream_.sent(), ElementsAre(2, 3, 4, 5, 6));
}

TEST_F(EventPumpTest, GoesOnAtOnceAfterAnEventThatTheStreamLeavesOut) {
  stream_.Want([](std::int64_t sequence) { return sequence == 4; });
  const auto pump = Create(0);
  AppendAndTell(5);
  pump->Sent();
  EXPECT_THAT(stream_.sent(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(pump->Stop(), 4);
}

TEST_F(EventPumpTest, FetchesOldEventsFromTheStoreAndThenGoesOnFromMemory) {
  stream_.Want([](std::int64_t) { return false; });
  AppendAndTell(1000);
  // As after a restart: nothing in memory.
  feed_.emplace(log_, *sales_);
  const auto pump = Create(5);
  pump->Sent();
  ASSERT_TRUE(stream_.Await(995));
  AppendAndTell(10);
  ASSERT_TRUE(stream_.Await(1005));
  EXPECT_EQ(stream_.sent(), FromTo(6, 1010));
  pump->Stop();
}

TEST_F(EventPumpTest, MayBeginAheadOfTheFeed) {
  stream_.Want([](std::int64_t) { return false; });
  log_.Append(10);
  const auto pump = Create(8);
  pump->Sent();
  ASSERT_TRUE(stream_.Await(2));
  AppendAndTell(2);
  ASSERT_TRUE(stream_.Await(4));
  EXPECT_EQ(stream_.sent(), FromTo(9, 12));
}

TEST_F(EventPumpTest, MayBeginAtTheVeryEndOfALogThatTheFeedHasNotReadYet) {
  log_.Append(10);
  const auto pump = Create(10);
  pump->Sent();
  ASSERT_TRUE(testkit::Eventually([this] { return feed_->last_sequence() == 10; }));
  AppendAndTell(1);
  ASSERT_TRUE(stream_.Await(1));
  EXPECT_EQ(stream_.sent(), FromTo(11, 11));
}

TEST_F(EventPumpTest, FailsWhenItBeginsBeyondTheEndOfTheLog) {
  log_.Append(10);
  const auto pump = Create(11);
  pump->Sent();
  const absl::Status failure = stream_.AwaitFailure();
  EXPECT_TRUE(absl::IsInvalidArgument(failure)) << failure;
  EXPECT_THAT(WrongFields(failure), ElementsAre("resume_token"));
  // Such an event is not the one that the caller meant.
  AppendAndTell(5);
  pump->Sent();
  EXPECT_THAT(stream_.sent(), IsEmpty());
}

TEST_F(EventPumpTest, FailsWhenTheStoreFails) {
  log_.Append(1);
  log_.FailWith(absl::UnavailableError("busy"));
  const auto pump = Create(1);
  pump->Sent();
  EXPECT_EQ(CodeAndReason(stream_.AwaitFailure()), "UNAVAILABLE STORE_UNAVAILABLE");
  pump->Stop();
}

TEST_F(EventPumpTest, FailsWhenThePoolTakesNothingMore) {
  log_.Append(1);
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
  const auto pump = Create(1);
  pump->Sent();
  EXPECT_EQ(CodeAndReason(stream_.AwaitFailure()), "RESOURCE_EXHAUSTED OVERLOADED");
}

TEST_F(EventPumpTest, CallsNothingAfterItWasStopped) {
  const auto pump = Create(0);
  AppendAndTell(3);
  pump->Sent();
  EXPECT_EQ(pump->Stop(), 1);
  pump->Sent();
  AppendAndTell(3);
  EXPECT_THAT(stream_.sent(), ElementsAre(1));
  EXPECT_EQ(pump->Stop(), 1);
}

TEST_F(EventPumpTest, CallsNothingWhenItIsStoppedWhileItReadsTheStore) {
  log_.Append(1);
  log_.Hold();
  auto pump = Create(1);
  pump->Sent();
  ASSERT_TRUE(log_.AwaitHeld());
  EXPECT_EQ(pump->Stop(), 1);
  // The pool still has it; nothing of this stream may be used any more.
  pump.reset();
  log_.FailWith(absl::UnavailableError("busy"));
  log_.Release();
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
  EXPECT_THAT(stream_.sent(), IsEmpty());
}

TEST_F(EventPumpTest, WaitsInStopForASendThatRuns) {
  std::promise<void> sending;
  std::promise<void> go_on;
  stream_.Want([&](std::int64_t) {
    sending.set_value();
    go_on.get_future().wait();
    return true;
  });
  const auto pump = Create(0);
  AppendAndTell(1);
  std::thread sends([&] { pump->Sent(); });
  sending.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { return pump->Stop(); });
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  go_on.set_value();
  EXPECT_EQ(stopped.get(), 1);
  sends.join();
}

// Both ends of a stream at once: the store fails while the caller leaves.
TEST_F(EventPumpTest, DoesNotUseTheStreamThatIsGoneWhenTheStoreFailsMeanwhile) {
  log_.FailWith(absl::UnavailableError("busy"));
  for (int i = 0; i < 500; ++i) {
    auto alive = std::make_unique<int>(0);
    auto pump = EventPump::Create(
        1, log_, *feed_, pool_, [](const OrderEvent&) { return true; },
        [&alive](const absl::Status&) { ++*alive; });
    pump->Sent();
    pump->Stop();
    alive.reset();
  }
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
}

TEST_F(EventPumpTest, SendsEveryEventOnceAndInOrderWhileTheLogGrows) {
  constexpr int kEvents = 20000;
  const auto pump = Create(0);
  std::jthread feeds([this](std::stop_token stop) { feed_->Run(stop); });
  std::jthread grows([this] {
    for (int i = 0; i < kEvents; i += 10) {
      log_.Append(10);
      feed_->Wake();
    }
  });
  pump->Sent();
  for (int i = 1; i <= kEvents; ++i) {
    ASSERT_TRUE(stream_.Await(i)) << i;
    pump->Sent();
  }
  EXPECT_EQ(stream_.sent(), FromTo(1, kEvents));
  EXPECT_EQ(pump->Stop(), kEvents);
}

}  // namespace
}  // namespace orders
