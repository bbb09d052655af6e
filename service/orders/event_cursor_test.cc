#include "service/orders/event_cursor.h"

#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/resume_token.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/status_details.h"
#include "service/rpc/bytes.h"
#include "service/rpc/stream.h"
#include "service/rpc/testing/stream_under_test.h"
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

// Sends all events.
class Reading final : public rpc::ServerStream<grpc::ByteBuffer> {
 public:
  Reading(std::int64_t sequence, OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool)
      : cursor_(sequence, store, feed, pool, handle()) {}

 private:
  bool Next(grpc::ByteBuffer& message) override {
    const auto event = cursor_.Next();
    if (!event.ok()) End(event.status());
    if (!event.ok() || *event == nullptr) return false;
    EXPECT_EQ((*event)->event.sequence, cursor_.sequence());
    message = grpc::ByteBuffer(&(*event)->response, 1);
    return true;
  }
  rpc::ResumePoint Goodbye() override { return {}; }

  EventCursor cursor_;
};

class EventCursorTest : public ::testing::Test {
 protected:
  using Stream = rpc::StreamUnderTest<Reading>;

  std::unique_ptr<Stream> Begin(std::int64_t sequence, std::size_t messages = 1000000) {
    auto stream = std::make_unique<Stream>(sequence, log_, *feed_, pool_);
    stream->Read(messages);
    return stream;
  }
  // As another replica would, or this one: the feed has heard of it already.
  void AppendAndTell(int count) {
    log_.Append(count);
    ASSERT_TRUE(feed_->CatchUp().ok());
  }
  std::vector<std::int64_t> Written(Stream& stream) {
    std::vector<std::int64_t> sequences;
    for (const grpc::ByteBuffer& message : stream.written()) {
      v1::WatchOrdersResponse response;
      EXPECT_TRUE(rpc::FromBytes(message, response));
      for (const auto& event : response.events()) {
        sequences.push_back(
            ReadToken(TokenKind::kWatch, log_.DatabaseId(), event.resume_token()).value_or(-1));
      }
    }
    return sequences;
  }

  FakeOrderLog log_;
  const std::unique_ptr<Sales> sales_ = *Sales::Load(log_, {});
  std::optional<EventFeed> feed_{std::in_place, log_, *sales_};
  rpc::BlockingPool pool_{2, 100};
};

TEST_F(EventCursorTest, GoesOnWhenThereIsSomethingNew) {
  const auto stream = Begin(0);
  EXPECT_THAT(Written(*stream), IsEmpty());
  AppendAndTell(3);
  EXPECT_THAT(Written(*stream), ElementsAre(1, 2, 3));
  AppendAndTell(1);
  EXPECT_THAT(Written(*stream), ElementsAre(1, 2, 3, 4));
}

TEST_F(EventCursorTest, ReadsNoFasterThanItsStream) {
  AppendAndTell(100);
  const auto stream = Begin(90, 2);
  EXPECT_THAT(Written(*stream), ElementsAre(91, 92, 93));
  stream->Read(1);
  EXPECT_THAT(Written(*stream), ElementsAre(91, 92, 93, 94));
}

TEST_F(EventCursorTest, ReadsTheStoreFirstAndThenMemory) {
  AppendAndTell(1000);
  // As after a restart: nothing in memory.
  feed_.emplace(log_, *sales_);
  const auto stream = Begin(5);
  ASSERT_TRUE(stream->AwaitWritten(995));
  AppendAndTell(10);
  ASSERT_TRUE(stream->AwaitWritten(1005));
  EXPECT_EQ(Written(*stream), FromTo(6, 1010));
}

TEST_F(EventCursorTest, MayBeginAheadOfTheFeed) {
  log_.Append(10);
  const auto stream = Begin(8);
  ASSERT_TRUE(stream->AwaitWritten(2));
  AppendAndTell(2);
  ASSERT_TRUE(stream->AwaitWritten(4));
  EXPECT_EQ(Written(*stream), FromTo(9, 12));
}

TEST_F(EventCursorTest, MayBeginAtAnEndStillUnread) {
  log_.Append(10);
  const auto stream = Begin(10);
  ASSERT_TRUE(testkit::Eventually([this] { return feed_->last_sequence() == 10; }));
  AppendAndTell(1);
  ASSERT_TRUE(stream->AwaitWritten(1));
  EXPECT_EQ(Written(*stream), FromTo(11, 11));
}

TEST_F(EventCursorTest, FailsBeyondTheEndOfTheLog) {
  log_.Append(10);
  const auto stream = Begin(11);
  const absl::Status failure = stream->AwaitEnd().value_or(absl::OkStatus());
  EXPECT_TRUE(absl::IsInvalidArgument(failure)) << failure;
  EXPECT_THAT(WrongFields(failure), ElementsAre("resume_token"));
  // Such an event is not the one that the caller meant.
  AppendAndTell(5);
  EXPECT_THAT(Written(*stream), IsEmpty());
}

TEST_F(EventCursorTest, FailsWhenTheStoreFails) {
  log_.Append(1);
  log_.FailWith(absl::UnavailableError("busy"));
  EXPECT_EQ(CodeAndReason(Begin(1)->AwaitEnd().value_or(absl::OkStatus())),
            "UNAVAILABLE STORE_UNAVAILABLE");
}

TEST_F(EventCursorTest, FailsWhenThePoolTakesNothingMore) {
  log_.Append(1);
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
  EXPECT_EQ(CodeAndReason(Begin(1)->AwaitEnd().value_or(absl::OkStatus())),
            "RESOURCE_EXHAUSTED OVERLOADED");
}

TEST_F(EventCursorTest, MayGoWhileTheStoreIsRead) {
  log_.Append(1);
  log_.Hold();
  auto stream = Begin(1);
  ASSERT_TRUE(log_.AwaitHeld());
  // The pool still has it; nothing of this stream may be used any more.
  stream.reset();
  log_.FailWith(absl::UnavailableError("busy"));
  log_.Release();
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
}

// Both ends of a stream at once: the store fails while the caller leaves.
TEST_F(EventCursorTest, MayGoWhileTheStoreFails) {
  log_.FailWith(absl::UnavailableError("busy"));
  for (int i = 0; i < 500; ++i) Begin(1);
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
}

TEST_F(EventCursorTest, AGrowingLogIsSentInOrder) {
  constexpr int kEvents = 20000;
  const auto stream = Begin(0);
  std::jthread feeds([this](std::stop_token stop) { feed_->Run(stop); });
  std::jthread grows([this] {
    for (int i = 0; i < kEvents; i += 10) {
      log_.Append(10);
    }
  });
  ASSERT_TRUE(stream->AwaitWritten(kEvents));
  EXPECT_EQ(Written(*stream), FromTo(1, kEvents));
}

}  // namespace
}  // namespace orders
