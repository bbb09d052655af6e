#include "service/orders/event_feed.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/orders/resume_token.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/logged_lines.h"
#include "service/rpc/bytes.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::int64_t> Sequences(const std::optional<FeedEvents>& events) {
  std::vector<std::int64_t> sequences;
  if (!events) return {-1};
  for (const auto& event : *events) sequences.push_back(event->event.sequence);
  return sequences;
}

class EventFeedTest : public ::testing::Test {
 protected:
  FakeOrderLog log_;
  const std::unique_ptr<Sales> sales_ = *Sales::Load(log_, {});
  EventFeed feed_{log_, *sales_};
};

TEST_F(EventFeedTest, TakesInTheWholeLog) {
  log_.Append(1500);
  EXPECT_EQ(*feed_.CatchUp(), 1500);
  EXPECT_EQ(feed_.last_sequence(), 1500);
  EXPECT_EQ(sales_->totals().sequence, 1500);
  EXPECT_EQ(sales_->totals().quantity_by_sku.at("tea"), 1500 * 1501 / 2);
  EXPECT_EQ(*feed_.CatchUp(), 0);
}

TEST_F(EventFeedTest, GoesOnFromWhereTheSalesStand) {
  log_.Append(10);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EventFeed next(log_, *sales_);
  EXPECT_EQ(next.last_sequence(), 10);
  EXPECT_EQ(*next.CatchUp(), 0);
}

TEST_F(EventFeedTest, HasTheEventsAfterAPosition) {
  log_.Append(5);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_THAT(Sequences(feed_.After(0, 100)), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Sequences(feed_.After(2, 2)), ElementsAre(3, 4));
  EXPECT_THAT(Sequences(feed_.After(5, 100)), IsEmpty());
}

TEST_F(EventFeedTest, SendsReadersToTheStoreForOlderEvents) {
  EXPECT_THAT(Sequences(feed_.After(0, 100)), IsEmpty());
  log_.Append(3);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EventFeed next(log_, *sales_);
  EXPECT_EQ(next.After(2, 100), std::nullopt) << "from before it began";
  EXPECT_EQ(next.After(4, 100), std::nullopt) << "ahead of it";
}

TEST_F(EventFeedTest, KeepsOnlyTheLatestInMemory) {
  log_.Append(10000);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(feed_.After(0, 100), std::nullopt);
  EXPECT_EQ(feed_.After(10000 - 4096 - 1, 100), std::nullopt);
  EXPECT_THAT(Sequences(feed_.After(10000 - 4096, 1)), ElementsAre(10000 - 4096 + 1));
  EXPECT_THAT(Sequences(feed_.After(9999, 100)), ElementsAre(10000));
}

// Each of its orders takes a megabyte.
class LargeOrders final : public FakeOrderLog {
 public:
  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                      Deadline deadline) override {
    auto events = FakeOrderLog::EventsAfter(after, limit, deadline);
    for (OrderEvent& event : *events) event.order.set_customer(std::string(1'000'000, 'a'));
    return events;
  }
};

TEST_F(EventFeedTest, KeepsFewerLargeEventsInMemory) {
  LargeOrders log;
  EventFeed feed(log, *sales_);
  for (int i = 0; i < 10; ++i) {
    log.Append(3);
    ASSERT_TRUE(feed.CatchUp().ok());
  }
  EXPECT_EQ(feed.After(13, 100), std::nullopt);
  EXPECT_THAT(Sequences(feed.After(14, 2)), ElementsAre(15, 16));
  EXPECT_THAT(Sequences(feed.After(29, 100)), ElementsAre(30));
}

TEST_F(EventFeedTest, TellsSubscribersUntilTheyLeave) {
  int news = 0;
  std::optional<EventFeed::Subscription> subscription(std::in_place, feed_, [&] { ++news; });
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(news, 0);
  log_.Append(1);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(news, 1);
  subscription.reset();
  log_.Append(1);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(news, 1);
}

TEST_F(EventFeedTest, LetsSubscribersLeaveWhileTheyAreTold) {
  std::optional<EventFeed::Subscription> subscription;
  subscription.emplace(feed_, [&] { subscription.reset(); });
  log_.Append(1);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_FALSE(subscription.has_value());
}

TEST_F(EventFeedTest, HasTheResponseOfEachEventReady) {
  log_.Append(2);
  ASSERT_TRUE(feed_.CatchUp().ok());
  const auto event = feed_.After(1, 1)->front();
  v1::WatchOrdersResponse response;
  ASSERT_TRUE(rpc::FromBytes(grpc::ByteBuffer(&event->response, 1), response));
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).resume_token(), MakeToken(TokenKind::kWatch, log_.DatabaseId(), 2));
  EXPECT_EQ(response.events(0).order().order_id(), event->event.order.order_id());
}

TEST_F(EventFeedTest, SavesTheSalesNowAndThen) {
  log_.Append(999);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(log_.saved(), 0);
  log_.Append(1);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_EQ(log_.saved(), 1000);
  log_.Append(3000);
  ASSERT_TRUE(feed_.CatchUp().ok());
  EXPECT_GT(log_.saved(), 3000);
}

TEST_F(EventFeedTest, TwoThatCatchUpTakeNothingTwice) {
  log_.Append(2000);
  std::int64_t others = 0;
  std::thread other([&] { others = *feed_.CatchUp(); });
  const std::int64_t own = *feed_.CatchUp();
  other.join();
  EXPECT_EQ(own + others, 2000);
  EXPECT_EQ(sales_->totals().quantity_by_sku.at("tea"), 2000 * 2001 / 2);
}

TEST_F(EventFeedTest, SaysThatTheLogCannotBeRead) {
  log_.FailWith(absl::UnavailableError("busy"));
  EXPECT_TRUE(absl::IsUnavailable(feed_.CatchUp().status()));
}

// Does not answer.
class SilentLog final : public FakeOrderLog {
 public:
  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t, int,
                                                      Deadline deadline) override {
    std::this_thread::sleep_until(deadline);
    waited_until = deadline;
    return absl::DeadlineExceededError("silent");
  }

  Deadline waited_until{};
};

TEST_F(EventFeedTest, KeepsItsDeadline) {
  SilentLog silent;
  EventFeed feed(silent, *sales_);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  EXPECT_TRUE(absl::IsDeadlineExceeded(feed.CatchUp(deadline).status()));
  EXPECT_EQ(silent.waited_until, deadline);

  log_.Append(3000);
  const auto over = std::chrono::steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(feed_.CatchUp(over).status()));
  EXPECT_EQ(log_.reads(), 0);
}

// Its first answer comes so late that another thread has caught up meanwhile.
class SlowAnswer final : public FakeOrderLog {
 public:
  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                      Deadline deadline) override {
    auto events = FakeOrderLog::EventsAfter(after, limit, deadline);
    if (EventFeed* const feed = std::exchange(catches_up, nullptr)) {
      EXPECT_EQ(*feed->CatchUp(), 40);
    }
    return events;
  }

  EventFeed* catches_up = nullptr;
};

TEST(EventFeedRaceTest, EventsRemovedForAnotherThreadAreNotMissed) {
  SlowAnswer log;
  const auto sales = *Sales::Load(log, {});
  EventFeed feed(log, *sales);
  log.Append(100);
  log.Remove(60);
  log.catches_up = &feed;
  const auto count = feed.CatchUp();
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(*count, 0);
  EXPECT_EQ(feed.last_sequence(), 100);
}

TEST_F(EventFeedTest, ContinuesBehindEventsRemovedUnread) {
  log_.Append(10);
  ASSERT_TRUE(feed_.CatchUp().ok());
  log_.Append(90);
  log_.Remove(60);
  EXPECT_EQ(*feed_.CatchUp(), 40);
  EXPECT_EQ(feed_.last_sequence(), 100);
  EXPECT_EQ(sales_->totals().quantity_by_sku.at("tea"), 100 * 101 / 2);
  EXPECT_EQ(feed_.After(10, 100), std::nullopt) << "the store says that they are gone";
  EXPECT_THAT(Sequences(feed_.After(98, 100)), ElementsAre(99, 100));

  log_.Append(90);
  log_.Remove(150);
  std::jthread runs([this](std::stop_token stop) { feed_.Run(stop); });
  EXPECT_TRUE(testkit::Eventually([this] { return feed_.last_sequence() == 190; }));
}

TEST_F(EventFeedTest, FindsWhatOthersHaveWrittenByItself) {
  std::jthread runs([this](std::stop_token stop) { feed_.Run(stop); });
  log_.Append(1);
  EXPECT_TRUE(testkit::Eventually([this] { return feed_.last_sequence() == 1; }));
}

TEST_F(EventFeedTest, ContinuesWhenTheLogIsReadableAgain) {
  log_.FailWith(absl::UnavailableError("busy"));
  log_.Append(1);
  std::jthread runs([this](std::stop_token stop) { feed_.Run(stop); });
  ASSERT_TRUE(testkit::Eventually([this] { return log_.reads() > 1; }));
  EXPECT_EQ(feed_.last_sequence(), 0);
  log_.FailWith(absl::OkStatus());
  EXPECT_TRUE(testkit::Eventually([this] { return feed_.last_sequence() == 1; }));
}

TEST_F(EventFeedTest, BacksOffFromUnreadableLogsAndLogsChanges) {
  const LoggedLines logged;
  lifecycle::FakeClock clock;
  EventFeed feed(log_, *sales_, clock);
  log_.FailWith(absl::UnavailableError("no server"));
  log_.Append(1);
  std::jthread runs([&feed](std::stop_token stop) { feed.Run(stop); });
  std::vector<std::int64_t> pauses;
  for (int reads = 1; reads <= 8; ++reads) {
    clock.AwaitWaiters(1);
    EXPECT_EQ(log_.reads(), reads);
    const auto pause = clock.Look().until - clock.Now();
    pauses.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(pause).count());
    if (reads == 8) log_.FailWith(absl::OkStatus());
    clock.Advance(pause);
  }
  EXPECT_THAT(pauses, ElementsAre(50, 100, 200, 400, 800, 1600, 2000, 2000));
  ASSERT_TRUE(testkit::Eventually([&] { return feed.last_sequence() == 1; }));

  // Soon again, when it is lost again.
  log_.FailWith(absl::UnavailableError("no server again"));
  clock.AwaitWaiters(1);
  EXPECT_EQ(clock.Look().until - clock.Now(), std::chrono::milliseconds(50));
  runs.request_stop();
  runs.join();
  EXPECT_THAT(logged.Get(), ElementsAre(HasSubstr("no server"), "the order log can be read again",
                                        HasSubstr("no server again")));
}

}  // namespace
}  // namespace orders
