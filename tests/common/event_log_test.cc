#include "tests/common/event_log.h"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/phase.h"
#include "service/observability/process_log.h"
#include "tests/common/temp_dir.h"

namespace testkit {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What a server with this life would have written.
std::string Logged(const std::vector<lifecycle::Event>& life) {
  const TempDir directory;
  const std::string path = directory.File("log");
  const int saved = dup(STDERR_FILENO);
  if (freopen(path.c_str(), "w", stderr) == nullptr) return "";
  observability::ProcessLog log("orders", {});
  for (const lifecycle::Event& event : life) log.OnEvent(event);
  lifecycle::End end;
  log.OnEnd(end);  // By then everything is written.
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(EventLogTest, ReadsWhatTheLogWrites) {
  const lifecycle::Clock::TimePoint start{};
  using lifecycle::EventType;
  using lifecycle::Phase;
  const std::string output = Logged({
      {EventType::kServing, "", "", Phase::kServing, start},
      {EventType::kShutdownRequested, "", "terminate, lame_duck 5s", Phase::kServing, start},
      {EventType::kClosed, "database", "", Phase::kClosingResources, start + milliseconds(1250)},
      {EventType::kCloseFailed, "relay", "it said: \"no\"", Phase::kClosingResources,
       start + milliseconds(61007)},
  });

  const std::vector<LoggedEvent> events = EventsIn(output);
  ASSERT_THAT(events, SizeIs(4)) << output;
  EXPECT_EQ(events[0].since_shutdown, std::nullopt);
  EXPECT_EQ(events[0].phase, "Serving");
  EXPECT_EQ(events[0].name, "Serving");

  EXPECT_EQ(events[1].since_shutdown, milliseconds(0));
  EXPECT_EQ(events[1].name, "ShutdownRequested");
  EXPECT_EQ(events[1].detail, "terminate, lame_duck 5s");

  EXPECT_EQ(events[2].since_shutdown, milliseconds(1250));
  EXPECT_EQ(events[2].phase, "ClosingResources");
  EXPECT_EQ(events[2].subject, "database");
  EXPECT_EQ(events[2].detail, "");
  EXPECT_TRUE(events[2].ok);

  EXPECT_EQ(events[3].since_shutdown, milliseconds(61007));
  EXPECT_EQ(events[3].subject, "relay");
  EXPECT_EQ(events[3].detail, "it said: \"no\"");
  EXPECT_FALSE(events[3].ok);
}

TEST(EventLogTest, PassesOverWhatIsNoEvent) {
  EXPECT_THAT(
      EventNamesIn(
          "serving on 127.0.0.1:1\n"
          "12:00:00.000 I orders: Serving             Serving\n"
          "12:00:01.000 W orders: backend away\n"
          "12:00:02.000 I orders: shutdown +0.000s Serving             ShutdownRequested: now\n"),
      ElementsAre("Serving", "ShutdownRequested"));
  EXPECT_THAT(EventNamesIn(""), IsEmpty());
}

TEST(EventLogTest, WaitsForTheEndOfALine) {
  EXPECT_THAT(EventNamesIn("12:00:00.000 I orders: Serving             Serv"), IsEmpty());
}

}  // namespace
}  // namespace testkit
