#include "service/rpc/calls/trace.h"

#include <optional>
#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace rpc {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kTraceparent = "00-" + kTrace + "-" + kSpan + "-01";

TEST(Trace, ReadsATraceparent) {
  const std::optional<Trace> trace = Trace::Parse(kTraceparent);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->TraceId(), kTrace);
  EXPECT_EQ(trace->SpanId(), kSpan);
  EXPECT_EQ(trace->ParentSpanId(), "");
  EXPECT_EQ(trace->Traceparent(), kTraceparent);
  for (const std::string flags : {"00", "01", "ff"}) {
    const std::string other = "00-" + kTrace + "-" + kSpan + "-" + flags;
    EXPECT_EQ(Trace::Parse(other)->Traceparent(), other);
  }
}

TEST(Trace, ReadsThatOfALaterVersion) {
  EXPECT_TRUE(Trace::Parse("cc" + kTraceparent.substr(2)).has_value());
  EXPECT_TRUE(Trace::Parse("cc" + kTraceparent.substr(2) + "-what the future will be like"));
  EXPECT_FALSE(Trace::Parse("cc" + kTraceparent.substr(2) + ".what").has_value());
}

TEST(Trace, ReadsNothingInvalid) {
  const std::string zeros(32, '0');
  for (const std::string& invalid :
       {std::string(), std::string("00"), "ff" + kTraceparent.substr(2), kTraceparent + "-more",
        kTraceparent.substr(0, 54), "00-" + zeros + "-" + kSpan + "-01",
        "00-" + kTrace + "-" + zeros.substr(16) + "-01", "0X" + kTraceparent.substr(2),
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kSpan + "-01",
        "00-" + kTrace + "-" + kSpan + "-\n1", "00_" + kTraceparent.substr(3),
        std::string(55, '-')}) {
    EXPECT_FALSE(Trace::Parse(invalid).has_value()) << invalid;
  }
}

TEST(Trace, BeginsBelowItsCaller) {
  const Trace span = Trace::Begin("00-" + kTrace + "-" + kSpan + "-00");
  EXPECT_EQ(span.TraceId(), kTrace);
  EXPECT_EQ(span.ParentSpanId(), kSpan);
  EXPECT_EQ(span.flags, 0);
  EXPECT_NE(span.SpanId(), kSpan);
  EXPECT_TRUE(Trace::Parse(span.Traceparent()).has_value());
}

TEST(Trace, BeginsAnewWithoutOne) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const Trace span = Trace::Begin("invalid");
    EXPECT_EQ(span.ParentSpanId(), "");
    EXPECT_TRUE(Trace::Parse(span.Traceparent()).has_value()) << span.Traceparent();
    ids.insert({span.TraceId(), span.SpanId()});
  }
  EXPECT_EQ(ids.size(), 200U);
}

TEST(Trace, BelongsToTheThreadThatAnnouncedIt) {
  EXPECT_EQ(Trace::Current(), std::nullopt);
  const std::optional<Trace> outer = Trace::Begin("");
  {
    const Trace::Scope scope(outer);
    EXPECT_EQ(Trace::Current(), outer);
    {
      const Trace::Scope nobody(std::nullopt);
      EXPECT_EQ(Trace::Current(), std::nullopt);
    }
    EXPECT_EQ(Trace::Current(), outer);
    std::thread([] { EXPECT_EQ(Trace::Current(), std::nullopt); }).join();
  }
  EXPECT_EQ(Trace::Current(), std::nullopt);
}

}  // namespace
}  // namespace rpc
