#include "service/observability/process_log.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace observability {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(ProcessLog, TellsWhatHappensAndReportsTheStopUnderOneName) {
  const testkit::TempDir directory;
  const std::string path = directory.File("report.json");
  testing::internal::CaptureStderr();
  ProcessLog log("echo", path);
  const lifecycle::Clock::TimePoint now = lifecycle::Clock::Steady().Now();
  log.OnEvent({.type = lifecycle::EventType::kShutdownRequested,
               .phase = lifecycle::Phase::kServing,
               .at = now});
  log.OnPhase(lifecycle::Phase::kDrainingConnections, now, std::nullopt);
  log.OnEnd({.reason = "terminate",
             .requested_at = now,
             .at = now,
             .budget = {.reserve = std::chrono::hours(1)}});
  const std::string logged = testing::internal::GetCapturedStderr();  // The end was flushed.
  std::ifstream file(path);
  const std::string report{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(logged, ContainsRegex(
                          " I echo: shutdown .* ShutdownRequested\n.* I echo: shutdown report: "));
  EXPECT_THAT(logged, HasSubstr("shutdown report: " + report));
  EXPECT_THAT(report, HasSubstr("\"program\":\"echo\""));
  EXPECT_THAT(report, HasSubstr("\"DrainingConnections\""));
}

}  // namespace
}  // namespace observability
