#include "service/admin/status_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace admin {
namespace {

using lifecycle::Phase;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kHostile[] = "<script>alert(\"1\")</script>&'";
constexpr char kHarmless[] = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;";

ServerStatus Serving() {
  ServerStatus status;
  status.program = "orders";
  status.build = "build 1234";
  status.uptime = std::chrono::seconds(3725);
  status.process.phase = Phase::kServing;
  status.process.load = {.connections = 3, .calls = 2, .streams = 1};
  return status;
}

// One second into DrainingCalls.
ServerStatus ShuttingDown() {
  ServerStatus status = Serving();
  status.process.phase = Phase::kDrainingCalls;
  status.process.time_left = std::chrono::milliseconds(2500);
  status.held_by = "calls running: 2 (2 /a.B/Get)";
  auto& lame_duck = *status.report.add_phases();
  lame_duck.set_name("LameDuck");
  lame_duck.set_took_ms(3000);
  auto& draining = *status.report.add_phases();
  draining.set_name("DrainingCalls");
  draining.set_start_ms(3000);
  draining.set_took_ms(1000);
  auto& cut = *status.report.add_events();
  cut.set_at_ms(3000);
  cut.set_name("CallsCut");
  cut.set_detail("2 calls");
  auto& closer = *status.report.add_closers();
  closer.set_name("database");
  closer.set_took_ms(12);
  closer.set_result("hung");
  return status;
}

TEST(StatusPageTest, ShowsWhatRuns) {
  ServerStatus status = Serving();
  status.methods = {{"/a.B/Get", 2, 100, 4, 1.25, 5}};
  status.checks = {{"database", absl::OkStatus()},
                   {"inventory", absl::UnavailableError("not connected")}};
  status.limits = {{"calls refused", 9}};
  status.flags = {{"address", "127.0.0.1:1"}};
  EXPECT_THAT(
      RenderStatusPage(status),
      AllOf(HasSubstr("<title>orders: Serving</title>"), HasSubstr("up for 1 h 2 min"),
            HasSubstr("<b>2</b>calls in flight"), HasSubstr("/a.B/Get"), HasSubstr("1.2 ms"),
            HasSubstr("&le; 5.0 ms"), HasSubstr("works"), HasSubstr("UNAVAILABLE: not connected"),
            HasSubstr("calls refused"), HasSubstr("--address")));
  EXPECT_THAT(RenderStatusPage(status), Not(HasSubstr("The shutdown so far")));
}

TEST(StatusPageTest, ShowsAShutdownAsItHappens) {
  EXPECT_THAT(
      RenderStatusPage(ShuttingDown()),
      AllOf(HasSubstr("<title>orders: DrainingCalls</title>"), HasSubstr("at most 2.5 s more"),
            HasSubstr("It waits for: calls running: 2 (2 /a.B/Get)"),
            HasSubstr("The shutdown so far"), HasSubstr("left:0.00%;width:75.00%"),
            HasSubstr("left:75.00%;width:25.00%"), HasSubstr("<td class=bad>CallsCut"),
            HasSubstr("2 calls"), HasSubstr("\"bad\">hung"), HasSubstr("0.012 s")));
}

TEST(StatusPageTest, EscapesEverything) {
  ServerStatus status = ShuttingDown();
  status.program = status.build = status.started_at = status.held_by = kHostile;
  status.methods = {{kHostile}};
  status.checks = {{kHostile, absl::UnavailableError(kHostile)}};
  status.limits = {{kHostile, 1}};
  status.flags = {{kHostile, kHostile}};
  status.report.mutable_phases(0)->set_name(kHostile);
  status.report.mutable_events(0)->set_name(kHostile);
  status.report.mutable_events(0)->set_subject(kHostile);
  status.report.mutable_events(0)->set_detail(kHostile);
  status.report.mutable_closers(0)->set_name(kHostile);
  status.report.mutable_closers(0)->set_result(kHostile);
  status.report.mutable_closers(0)->set_detail(kHostile);
  const std::string page = RenderStatusPage(status);
  EXPECT_THAT(page, AllOf(HasSubstr(kHarmless), Not(HasSubstr("<script>alert"))));
}

TEST(StatusPageTest, ShowsWhatReordersALineAsText) {
  ServerStatus status = Serving();
  status.flags = {{"address", "\xE2\x80\xAE\xFF\xC2\x9B"}};
  EXPECT_THAT(RenderStatusPage(status), HasSubstr("<code>\\u202e\\xff\\u009b</code>"));
}

TEST(StatusPageTest, LoadsNothingFromElsewhere) {
  EXPECT_THAT(RenderStatusPage(ShuttingDown()),
              AllOf(Not(HasSubstr("src=")), Not(HasSubstr("url(")), Not(HasSubstr("://"))));
}

}  // namespace
}  // namespace admin
