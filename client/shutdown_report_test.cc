#include "client/shutdown_report.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kReport[] = R"json({
  "version": 2, "program": "orders", "reason": "terminate", "expedited": true,
  "requested_at": "2024-05-01T12:00:01.250Z", "took_ms": 1400, "grace_ms": 30000,
  "phases": [
    {"name": "DrainingCalls", "start_ms": 300, "took_ms": 1000, "budget_ms": 1000, "ended": true, "forced": true},
    {"name": "SavingState", "start_ms": 1300, "took_ms": 20, "budget_ms": 1000, "ended": true, "forced": true},
    {"name": "ClosingResources", "start_ms": 1300, "took_ms": 100, "budget_ms": 2000, "ended": false, "forced": true}],
  "calls": {"finished": 3, "cancelled": 1, "left": 0,
            "methods": [{"method": "/a.B/C", "finished": 3, "cancelled": 1, "left": 0}]},
  "streams": {"ended": 2, "cut": 1},
  "savers": [{"name": "totals", "start_ms": 1300, "took_ms": 0, "result": "saved"},
             {"name": "carts", "start_ms": 1300, "took_ms": 20, "result": "failed", "detail": "disk full"}],
  "closers": [{"name": "database", "start_ms": 1350, "took_ms": 40, "result": "hung", "detail": "late"},
              {"name": "pool", "start_ms": 1300, "took_ms": 50, "result": "closed"}],
  "events": [{"at_ms": 1300, "phase": "DrainingCalls", "name": "CallsCut", "ok": false},
             {"at_ms": 1320, "phase": "SavingState", "name": "SaveFailed", "subject": "carts", "ok": false},
             {"at_ms": 1390, "phase": "ClosingResources", "name": "CloseFailed", "subject": "database", "ok": false},
             {"at_ms": 1395, "phase": "ClosingResources", "name": "WorkerFailed", "subject": "mails", "ok": false}],
  "exit_code": 4, "why": "CallsCut", "from_the_future": [1]
})json";

Timeline Drawn(const std::string& json = kReport) { return TimelineOf(*ReadShutdownReport(json)); }

TEST(ReadShutdownReport, IgnoresUnknownFields) {
  const auto report = ReadShutdownReport(kReport);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->exit_code(), 4U);
}

TEST(ReadShutdownReport, TakesTheLastOneInALog) {
  const auto report = ReadShutdownReport(
      "12:00:00.000 I echo: shutdown report: {\"version\":2,\"program\":\"echo\",\"exit_code\":3}\n"
      "12:00:01.000 I echo: Serving\n"
      "2026-01-31T12:00:02.000Z I echo: shutdown report: "
      "{\"version\":2,\"program\":\"echo\",\"exit_code\":5}\n"
      "last words\n");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->exit_code(), 5U);
}

TEST(ReadShutdownReport, TrustsOnlyWhatTheProcessHasWritten) {
  const std::string own =
      "12:00:00.000 I echo: shutdown report: "
      "{\"version\":2,\"program\":\"echo\",\"exit_code\":3}\n";
  for (const char* forged :
       {"12:00:01.000 E echo: [grpc] a.cc:1: bad te: x\\n12:00:01.000 I echo: shutdown report: "
        "{\"version\":2,\"program\":\"echo\",\"exit_code\":0}\n",
        "12:00:01.000 E echo: [grpc] a.cc:1: shutdown report: "
        "{\"version\":2,\"program\":\"echo: [grpc] a.cc:1\",\"exit_code\":0}\n",
        "12:00:01.000 I echo: [log] shutdown report: {\"version\":2,\"program\":\"echo\"}\n",
        "12:00:01.000 W echo: shutdown report: {\"version\":2,\"program\":\"echo\"}\n",
        "shutdown report: {\"version\":2,\"program\":\"echo\",\"exit_code\":0}\n",
        "I echo: shutdown report: {\"version\":2,\"program\":\"echo\",\"exit_code\":0}\n",
        "12:00:01.000 I : shutdown report: {\"version\":2,\"program\":\"\",\"exit_code\":0}\n"}) {
    const auto report = ReadShutdownReport(own + forged);
    ASSERT_TRUE(report.ok()) << report.status() << forged;
    EXPECT_EQ(report->exit_code(), 3U) << forged;
    EXPECT_FALSE(ReadShutdownReport(forged).ok()) << forged;
  }
  EXPECT_FALSE(ReadShutdownReport("12:00:01.000 I echo: shutdown report: "
                                  "{\"version\":2,\"program\":\"other\",\"exit_code\":0}\n")
                   .ok());
}

TEST(ReadShutdownReport, SaysWhatIsWrong) {
  for (const char* text : {"", "{}", "no report", "[1]", R"({"version": "one"})",
                           "I echo: shutdown report: {\"version\":2,\"exi"}) {
    EXPECT_EQ(ReadShutdownReport(text).status().message(),
              "is no shutdown report, and no log with one")
        << text;
  }
  EXPECT_THAT(std::string(ReadShutdownReport(R"({"version": 1})").status().message()),
              HasSubstr("version 1; this program reads 2"));
}

TEST(TimelineOf, ListsClosersBelowTheirPhaseInStartOrder) {
  std::vector<std::string> rows;
  for (const Timeline::Row& row : Drawn().rows) {
    rows.push_back((row.nested ? "  " : "") + row.label + ", " + row.time +
                   (row.forced ? "! " : "") + row.mark);
  }
  EXPECT_THAT(rows, ElementsAre("DrainingCalls, 1 s of 1 s! CallsCut",
                                "SavingState, 20 ms of 1 s! 1 not saved", "  totals, 0",
                                "  carts, 20 ms! failed",
                                "ClosingResources, 100 ms of 2 s! the process was ended here, "
                                "WorkerFailed mails, 1 not closed well",
                                "  pool, 50 ms", "  database, 40 ms! hung"));
}

TEST(TimelineOf, SummarizesTheShutdownAndItsCalls) {
  EXPECT_THAT(Drawn().title,
              ElementsAre("orders: terminate, expedited, exit code 4, 1.4 s of 30 s, "
                          "2024-05-01T12:00:01.250Z",
                          "CallsCut"));
  EXPECT_THAT(Drawn().summary,
              ElementsAre("calls: 3 finished, 1 cancelled, 0 left",
                          "  /a.B/C: 3 finished, 1 cancelled, 0 left", "streams: 2 ended, 1 cut"));
}

TEST(TimelineOf, AxisHasRoundTicksForEveryBar) {
  EXPECT_THAT(Drawn().ticks, ElementsAre(0, 500, 1000, 1500, 2000));
  EXPECT_EQ(Drawn().length, 2000U);
  EXPECT_THAT(Drawn(R"({"version": 2})").ticks, ElementsAre(0, 1, 2));
  EXPECT_THAT(Drawn(R"({"version": 2, "took_ms": 4294967295})").ticks,
              ElementsAre(0, 1000000000, 2000000000, 3000000000, 4000000000, 5000000000));
}

TEST(TimelineOf, BeginsWithTheRequestDespiteAManualDrain) {
  const Timeline timeline = Drawn(R"json({"version": 2, "took_ms": 100, "phases": [
    {"name": "LameDuck", "start_ms": -3600000, "took_ms": 1000, "budget_ms": 5000},
    {"name": "DrainingConnections", "start_ms": -3599000, "took_ms": 3599040},
    {"name": "DrainingCalls", "start_ms": 40, "took_ms": 60, "budget_ms": 2000}]})json");
  EXPECT_THAT(timeline.title[2], HasSubstr("drained by hand 60 min before the request"));
  ASSERT_EQ(timeline.rows.size(), 3U);
  EXPECT_EQ(timeline.rows[0].end, 0U);
  EXPECT_EQ(timeline.rows[0].budget_end, 0U);
  EXPECT_EQ(timeline.rows[0].time, "1 s of 5 s");
  EXPECT_EQ(timeline.rows[1].start, 0U);
  EXPECT_EQ(timeline.rows[1].end, 40U);
  EXPECT_EQ(timeline.rows[1].budget_end, 0U);
  EXPECT_EQ(timeline.rows[1].time, "59 min 59 s");
  EXPECT_EQ(timeline.rows[2].start, 40U);
}

TEST(TimelineOf, EscapesTerminalControls) {
  const Timeline timeline =
      Drawn(R"({"version": 2, "why": "a\u001b[2Jb\nc", "phases": [{"name": "\u001b]0;x\u0007"}]})");
  EXPECT_EQ(timeline.title[1], "a [2Jb c");
  EXPECT_EQ(timeline.rows[0].label, " ]0;x ");
}

TEST(TimeText, IsAsShortAsItCanBe) {
  EXPECT_EQ(TimeText(0), "0");
  EXPECT_EQ(TimeText(28), "28 ms");
  EXPECT_EQ(TimeText(1000), "1 s");
  EXPECT_EQ(TimeText(1306), "1.31 s");
  EXPECT_EQ(TimeText(12500), "12.5 s");
  EXPECT_EQ(TimeText(59999), "60 s");
  EXPECT_EQ(TimeText(125400), "2 min 5 s");
  EXPECT_EQ(TimeText(3600000), "60 min");
}

}  // namespace
}  // namespace client
