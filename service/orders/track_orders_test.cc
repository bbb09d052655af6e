#include "service/orders/track_orders.h"

#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/resume_token.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/orders_under_test.h"
#include "service/orders/testing/status_details.h"
#include "service/orders/testing/temporary_database.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/stream_under_test.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One TrackOrders call.
class Track {
 public:
  explicit Track(v1::OrdersService::Stub& stub) : stream_(stub.TrackOrders(&context_)) {}

  bool Add(const std::vector<std::string>& ids) {
    v1::TrackOrdersRequest request;
    for (const std::string& id : ids) request.add_add_order_ids(id);
    return stream_->Write(request);
  }
  bool Remove(const std::vector<std::string>& ids) {
    v1::TrackOrdersRequest request;
    for (const std::string& id : ids) request.add_remove_order_ids(id);
    return stream_->Write(request);
  }
  // "order PLACED"; "end" when there is no more.
  std::string Next() {
    v1::TrackOrdersResponse response;
    if (!stream_->Read(&response)) return "end";
    resume_token_ = response.resume_token();
    return response.order().order_id() + " " +
           v1::OrderState_Name(response.order().state()).substr(std::string("ORDER_STATE_").size());
  }
  void Cancel() { context_.TryCancel(); }
  void CloseOwnSide() { stream_->WritesDone(); }
  absl::Status End() {
    while (Next() != "end") continue;
    return rpc::FromGrpc(stream_->Finish());
  }

  const std::string& resume_token() const { return resume_token_; }

 private:
  CallContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::TrackOrdersRequest, v1::TrackOrdersResponse>>
      stream_;
  std::string resume_token_;
};

class TrackOrdersTest : public ::testing::Test {
 protected:
  void Settle(const std::string& request_id, v1::OrderState state) {
    const auto outbox = orders_.store().Claim(1000, {}, Soon());
    for (const OutboxItem& item : *outbox) {
      if (item.order_id == "order of " + request_id) {
        EXPECT_TRUE(orders_.store().Settle({{item, state}}, Soon()).ok());
      }
    }
  }

  const TemporaryDatabase database_;
  FakeInventory inventory_;
  OrdersUnderTest orders_{database_, inventory_};
  const std::unique_ptr<v1::OrdersService::Stub> stub_ = orders_.NewStub();
};

TEST_F(TrackOrdersTest, SendsEachOrdersStateAndThenItsChanges) {
  PlaceIn(orders_.store(), "r1");
  PlaceIn(orders_.store(), "r2");
  Settle("r2", v1::ORDER_STATE_CONFIRMED);
  Track track(*stub_);
  track.Add({"order of r1", "order of r2"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  EXPECT_EQ(track.Next(), "order of r2 CONFIRMED");
  Settle("r1", v1::ORDER_STATE_CANCELLED);
  EXPECT_EQ(track.Next(), "order of r1 CANCELLED");
}

TEST_F(TrackOrdersTest, TellsNothingOfOtherOrders) {
  PlaceIn(orders_.store(), "r1");
  Track track(*stub_);
  track.Add({"order of r1"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  PlaceIn(orders_.store(), "r2");
  Settle("r2", v1::ORDER_STATE_CONFIRMED);
  Settle("r1", v1::ORDER_STATE_CONFIRMED);
  EXPECT_EQ(track.Next(), "order of r1 CONFIRMED");
}

TEST_F(TrackOrdersTest, FollowsAnOrderThatIsNotThereYet) {
  Track track(*stub_);
  track.Add({"order of r1"});
  EXPECT_EQ(track.Next(), "order of r1 UNSPECIFIED");
  PlaceIn(orders_.store(), "r1");
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
}

TEST_F(TrackOrdersTest, SendsNothingOfOrdersNoLongerFollowed) {
  for (const char* id : {"r1", "r2"}) PlaceIn(orders_.store(), id);
  Track track(*stub_);
  track.Add({"order of r1", "order of r2"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  EXPECT_EQ(track.Next(), "order of r2 PLACED");
  track.Remove({"order of r1"});
  track.Add({"order of r3"});
  EXPECT_EQ(track.Next(), "order of r3 UNSPECIFIED");  // So the removal was read.
  Settle("r1", v1::ORDER_STATE_CONFIRMED);
  Settle("r2", v1::ORDER_STATE_CONFIRMED);
  EXPECT_EQ(track.Next(), "order of r2 CONFIRMED");
}

TEST_F(TrackOrdersTest, SendsTheStateOfAnOrderAddedAgain) {
  PlaceIn(orders_.store(), "r1");
  Track track(*stub_);
  track.Add({"order of r1"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  track.Remove({"order of r1"});
  track.Add({"order of r1"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
}

TEST_F(TrackOrdersTest, TellsAnOrderOnceThatIsAddedTwice) {
  PlaceIn(orders_.store(), "r1");
  Track track(*stub_);
  track.Add({"order of r1", "order of r1"});
  track.Add({"order of r1"});
  track.Add({"order of r2"});
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  EXPECT_EQ(track.Next(), "order of r2 UNSPECIFIED");
}

TEST_F(TrackOrdersTest, EndsWellWhenItsCallerCloses) {
  PlaceIn(orders_.store(), "r1");
  Track track(*stub_);
  track.Add({"order of r1"});
  track.CloseOwnSide();
  EXPECT_EQ(track.Next(), "order of r1 PLACED");
  const absl::Status status = track.End();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(TrackOrdersTest, EndsWellWhenItsCallerSendsNothing) {
  Track track(*stub_);
  track.CloseOwnSide();
  EXPECT_TRUE(track.End().ok());
}

TEST_F(TrackOrdersTest, SendsEachLastStateWhileOrdersChange) {
  constexpr int kOrders = 200;
  orders_.StartRelay();
  Track track(*stub_);
  std::jthread places([this] {
    for (int i = 0; i < kOrders; ++i) PlaceIn(orders_.store(), std::to_string(i));
  });
  std::jthread adds([&] {
    for (int i = 0; i < kOrders; ++i) track.Add({"order of " + std::to_string(i)});
  });
  std::set<std::string> told;
  std::set<std::string> confirmed;
  std::int64_t position = 0;
  while (confirmed.size() < kOrders) {
    const std::string next = track.Next();
    ASSERT_NE(next, "end");
    EXPECT_TRUE(told.insert(next).second) << next << " again";
    if (next.ends_with(" CONFIRMED")) confirmed.insert(next);
    const auto token =
        ReadToken(TokenKind::kWatch, orders_.store().DatabaseId(), track.resume_token());
    ASSERT_TRUE(token);
    EXPECT_GE(*token, position);
    position = *token;
  }
}

TEST_F(TrackOrdersTest, AnswersACallerWhoReadsLate) {
  // More than the service keeps for one caller.
  constexpr int kRequests = 40;
  constexpr int kIds = 250;
  Track track(*stub_);
  std::jthread adds([&] {
    for (int i = 0; i < kRequests; ++i) {
      std::vector<std::string> ids;
      for (int j = 0; j < kIds; ++j) ids.push_back(std::to_string(i) + "." + std::to_string(j));
      EXPECT_TRUE(track.Add(ids));
    }
    track.CloseOwnSide();
  });
  std::set<std::string> told;
  for (std::string next = track.Next(); next != "end"; next = track.Next()) told.insert(next);
  EXPECT_EQ(told.size(), static_cast<std::size_t>(kRequests * kIds));
  EXPECT_TRUE(track.End().ok());
}

std::vector<std::string> Ids(int count, const std::string& prefix = "o") {
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i) ids.push_back(prefix + std::to_string(i));
  return ids;
}

TEST_F(TrackOrdersTest, RefusesTooManyIdsAndNamesTheLimit) {
  Track track(*stub_);
  track.Add(Ids(1000));
  EXPECT_EQ(track.Next(), "o0 UNSPECIFIED");
  track.Add(Ids(1001, "p"));
  const absl::Status status = track.End();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(WrongFields(status), ElementsAre("add_order_ids"));
  EXPECT_THAT(Descriptions(status), ElementsAre(HasSubstr("at most 1000 in one message")));

  Track removing(*stub_);
  removing.Remove(Ids(1001));
  EXPECT_THAT(WrongFields(removing.End()), ElementsAre("remove_order_ids"));
}

// What once took 290 MB, and nine seconds of which a shutdown could cut none.
TEST_F(TrackOrdersTest, RefusesTheLargestMessageThereIs) {
  Track track(*stub_);
  track.Add(Ids(300000));
  const absl::Status status = track.End();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST_F(TrackOrdersTest, RefusesToFollowTooManyOrders) {
  Track track(*stub_);
  for (int i = 0; i < 10; ++i) track.Add(Ids(1000, std::to_string(i) + "."));
  for (int i = 0; i < 10000; ++i) ASSERT_NE(track.Next(), "end");
  track.Remove({"0.0"});
  track.Add({"one more"});
  EXPECT_EQ(track.Next(), "one more UNSPECIFIED");
  track.Add({"one too many"});
  const absl::Status status = track.End();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(Descriptions(status), ElementsAre(HasSubstr("at most 10000 orders")));
}

TEST_F(TrackOrdersTest, RefusesWhatIsNoId) {
  for (const std::string& id : {std::string(), std::string(65, 'o'), std::string("o\0", 2)}) {
    Track track(*stub_);
    track.Add({"order of r1", id});
    const absl::Status status = track.End();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(WrongFields(status), ElementsAre("add_order_ids[1]"));
  }
}

TEST(TrackOrders, LooksNothingUpForADepartedCaller) {
  FakeOrderLog log;
  const auto sales = *Sales::Load(log, {});
  EventFeed feed(log, *sales);
  rpc::BlockingPool pool(1, 100);
  log.Hold();
  {
    rpc::StreamUnderTest<TrackOrders> stream(log, feed, pool);
    v1::TrackOrdersRequest request;
    for (const std::string& id : Ids(100)) request.add_add_order_ids(id);
    stream.Send(request);
    ASSERT_TRUE(log.AwaitHeld());
  }
  log.Release();
  EXPECT_TRUE(pool.Close(lifecycle::Clock::TimePoint::max()).ok());
  EXPECT_EQ(log.finds(), 1);
}

// Looks order "1" up when the test says so; the log tells meanwhile that it was placed.
class SlowStore final : public FakeOrderLog {
 public:
  explicit SlowStore(v1::OrderState found) : found_(found) {}

  // Instead of other orders that are placed: event 2 confirms order "1", and event 3 cancels it.
  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                      Deadline deadline) override {
    auto events = FakeOrderLog::EventsAfter(after, limit, deadline);
    for (OrderEvent& event : *events) {
      if (!one_order_) break;
      event.order.set_order_id("1");
      event.order.set_state(static_cast<v1::OrderState>(event.sequence));
    }
    return events;
  }
  void HaveOneOrder() { one_order_ = true; }

  absl::StatusOr<std::optional<v1::Order>> Find(const std::string& id, Deadline) override {
    finding_.count_down();
    may_find_.wait();
    if (found_ == v1::ORDER_STATE_UNSPECIFIED) return std::optional<v1::Order>();
    v1::Order order;
    order.set_order_id(id);
    order.set_state(found_);
    return std::optional(order);
  }
  void AwaitFinding() { finding_.wait(); }
  void LetFind() { may_find_.count_down(); }

 private:
  const v1::OrderState found_;
  bool one_order_ = false;
  std::latch finding_{1};
  std::latch may_find_{1};
};

// A caller who follows order "1", which the store is slow to find.
struct Following {
  explicit Following(v1::OrderState found) : store(found) {}

  // So many events come while the store looks the order up.
  void FindAfter(int events) {
    v1::TrackOrdersRequest request;
    request.add_add_order_ids("1");
    stream.Send(request);
    store.AwaitFinding();
    store.Append(events);
    EXPECT_TRUE(feed.CatchUp().ok());
    store.LetFind();
  }
  // The store has no more to do.
  void AwaitFound() { EXPECT_TRUE(pool.Close(lifecycle::Clock::TimePoint::max()).ok()); }

  SlowStore store;
  const std::unique_ptr<Sales> sales = *Sales::Load(store, {});
  EventFeed feed{store, *sales};
  rpc::BlockingPool pool{1, 100};
  rpc::StreamUnderTest<TrackOrders> stream{store, feed, pool};
};

// What that caller is told when the store finds it like that.
std::vector<v1::OrderState> ToldWhenFound(v1::OrderState found) {
  Following following(found);
  following.stream.Read(10);
  following.FindAfter(1);
  following.AwaitFound();
  std::vector<v1::OrderState> told;
  for (const auto& response : following.stream.written()) told.push_back(response.order().state());
  return told;
}

TEST(TrackOrders, TellsNothingOlderThanAnotherReplicaHas) {
  EXPECT_THAT(ToldWhenFound(v1::ORDER_STATE_CONFIRMED), ElementsAre(v1::ORDER_STATE_CONFIRMED));
}

TEST(TrackOrders, ForgetsNoNewsWhileItLooksAnOrderUp) {
  EXPECT_THAT(ToldWhenFound(v1::ORDER_STATE_UNSPECIFIED),
              ElementsAre(v1::ORDER_STATE_UNSPECIFIED, v1::ORDER_STATE_PLACED));
}

TEST(TrackOrders, TellsEveryChangeThatComesWhileItLooksAnOrderUp) {
  Following following(v1::ORDER_STATE_PLACED);
  following.store.HaveOneOrder();
  following.stream.Read(10);
  following.FindAfter(3);
  following.AwaitFound();
  std::vector<v1::OrderState> told;
  for (const auto& response : following.stream.written()) told.push_back(response.order().state());
  EXPECT_THAT(told, ElementsAre(v1::ORDER_STATE_PLACED, v1::ORDER_STATE_CONFIRMED,
                                v1::ORDER_STATE_CANCELLED));
}

// The first of two answers is sent; the second one's event has come before either.
TEST(TrackOrders, ResumesNowhereAfterWhatWasNotSent) {
  Following following(v1::ORDER_STATE_UNSPECIFIED);
  auto& stream = following.stream;
  following.FindAfter(2);
  ASSERT_TRUE(stream.AwaitWritten(1));
  stream.Drain();
  stream.Read(1);
  const auto ended = stream.AwaitEnd();
  ASSERT_TRUE(ended);
  const std::string before = MakeToken(TokenKind::kWatch, following.store.DatabaseId(), 0);
  ASSERT_EQ(stream.written().size(), 1u);
  EXPECT_EQ(stream.written().front().resume_token(), before);
  EXPECT_EQ(Metadata(*ended, "resume_token"), before);
  following.AwaitFound();
}

TEST(TrackOrders, ResumesAfterEverythingThatWasSent) {
  Following following(v1::ORDER_STATE_UNSPECIFIED);
  following.stream.Read(10);
  following.FindAfter(2);
  following.AwaitFound();
  ASSERT_EQ(following.stream.written().size(), 2u);
  EXPECT_EQ(following.stream.written().back().resume_token(),
            MakeToken(TokenKind::kWatch, following.store.DatabaseId(), 2));
}

TEST_F(TrackOrdersTest, SaysGoodbyeWhenTheServerDrains) {
  PlaceIn(orders_.store(), "r1");
  Track track(*stub_);
  track.Add({"order of r1"});
  ASSERT_EQ(track.Next(), "order of r1 PLACED");
  Settle("r1", v1::ORDER_STATE_CONFIRMED);
  ASSERT_EQ(track.Next(), "order of r1 CONFIRMED") << "the last event there is";
  orders_.Drain();
  const absl::Status status = track.End();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE SERVER_DRAINING");
  EXPECT_TRUE(SaysWhenToRetry(status));
  EXPECT_EQ(Metadata(status, "resume_token"), track.resume_token());
}

TEST_F(TrackOrdersTest, DuringADrainSaysGoodbyeAtOnce) {
  orders_.Drain();
  Track track(*stub_);
  track.Add({"order of r1"});
  EXPECT_EQ(track.Next(), "end");
  const absl::Status status = track.End();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE SERVER_DRAINING");
  EXPECT_EQ(Metadata(status, "resume_token"),
            MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 0));
}

TEST_F(TrackOrdersTest, SaysThatTheDatabaseIsGone) {
  ASSERT_TRUE(orders_.store().Close(Soon()).ok());
  Track track(*stub_);
  track.Add({"order of r1"});
  EXPECT_EQ(CodeAndReason(track.End()), "UNAVAILABLE STORE_UNAVAILABLE");
}

TEST_F(TrackOrdersTest, SaysThatItIsOverloaded) {
  OrdersUnderTest small(database_, inventory_, {.pool_threads = 1, .pool_capacity = 1});
  const auto stub = small.NewStub();
  const Busy busy(small.pool());
  ASSERT_TRUE(small.pool().Run([] {}));
  Track track(*stub);
  track.Add({"order of r1"});
  EXPECT_EQ(CodeAndReason(track.End()), "RESOURCE_EXHAUSTED OVERLOADED");
}

TEST_F(TrackOrdersTest, MayBeLeftWhileTheDatabaseIsSlow) {
  OrdersUnderTest slow(database_, inventory_, {.pool_threads = 1, .pool_capacity = 100});
  const auto stub = slow.NewStub();
  Busy busy(slow.pool());
  for (int i = 0; i < 20; ++i) {
    Track track(*stub);
    track.Add({"order of r1"});
    track.Cancel();
    EXPECT_TRUE(absl::IsCancelled(track.End()));
  }
}

TEST_F(TrackOrdersTest, MayEndInAnyWayAtAnyMoment) {
  std::jthread places([this](std::stop_token stop) {
    for (int i = 0; !stop.stop_requested(); ++i) PlaceIn(orders_.store(), std::to_string(i));
  });
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this] {
      const auto stub = orders_.NewStub();
      for (int i = 0; i < 50; ++i) {
        Track track(*stub);
        track.Add({"order of " + std::to_string(i), "order of " + std::to_string(i + 50)});
        if (i % 3 == 0) track.Next();
        if (i % 2 == 0) track.Cancel();
        if (i % 2 == 1) track.CloseOwnSide();
        track.End().IgnoreError();
      }
    });
  }
  ASSERT_TRUE(testkit::Eventually([this] { return *orders_.store().LastSequence(Soon()) > 100; }));
  orders_.Drain();
}

}  // namespace
}  // namespace orders
