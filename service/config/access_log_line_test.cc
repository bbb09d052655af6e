#include "service/config/access_log_line.h"

#include <chrono>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/calls/trace.h"

namespace config {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// "name=value", a number as "name:value".
std::vector<std::string> Shown(const observability::LogFields& fields) {
  std::vector<std::string> shown;
  for (const observability::LogField& each : fields) {
    shown.push_back(std::string(each.name) + (each.is_number ? ":" : "=") + each.value);
  }
  return shown;
}

rpc::EndedCall Call() {
  return {.method = "/a.B/C",
          .code = grpc::StatusCode::NOT_FOUND,
          .peer = "ipv4:127.0.0.1:40312",
          .trace = {.id_high = 1, .id_low = 2, .span = 3},
          .started = std::chrono::system_clock::time_point(microseconds(1250)),
          .duration = microseconds(1007)};
}

TEST(FieldsOf, AreWhatIsKnownOfTheCall) {
  EXPECT_THAT(Shown(FieldsOf(Call())),
              ElementsAre("method=/a.B/C", "code=NOT_FOUND", "start=1970-01-01T00:00:00.001250Z",
                          "duration_ms:1.007", "peer=ipv4:127.0.0.1:40312",
                          "trace_id=00000000000000010000000000000002", "span_id=0000000000000003"));
}

TEST(FieldsOf, HasTheCallersSpanAndRequestIdBehindThem) {
  rpc::EndedCall call = Call();
  call.trace.parent = 4;
  call.request_id = "r 1";
  const std::vector<std::string> shown = Shown(FieldsOf(call));
  ASSERT_EQ(shown.size(), 9U);
  EXPECT_EQ(shown[7], "parent_span_id=0000000000000004");
  EXPECT_EQ(shown[8], "request_id=r 1");
}

TEST(FieldsOf, DurationHasThreeDigitsAfterThePoint) {
  const auto shown = [](nanoseconds duration) {
    rpc::EndedCall call = Call();
    call.duration = duration;
    return Shown(FieldsOf(call));
  };
  EXPECT_THAT(shown(nanoseconds(0)), Contains("duration_ms:0.000"));
  EXPECT_THAT(shown(nanoseconds(1501)), Contains("duration_ms:0.002"));
  EXPECT_THAT(shown(std::chrono::seconds(61)), Contains("duration_ms:61000.000"));
}

TEST(TraceTags, AreOfTheCallThatTheThreadWorksFor) {
  EXPECT_THAT(TraceTags(), IsEmpty());
  const rpc::Trace::Scope scope(rpc::Trace{.id_high = 1, .id_low = 2, .span = 3});
  EXPECT_THAT(Shown(TraceTags()),
              ElementsAre("trace_id=00000000000000010000000000000002", "span_id=0000000000000003"));
}

}  // namespace
}  // namespace config
