#include "service/rpc/calls/limit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LimitLogTest : public ::testing::Test {
 protected:
  std::vector<std::string> lines_;
  LimitLog log_{"refused", [this](const std::string& line) { lines_.push_back(line); }};
  LimitLog::Clock::time_point now_ = LimitLog::Clock::now();
};

TEST_F(LimitLogTest, LogsAtOnceThenOnceAMinute) {
  log_.Count("a", now_);
  EXPECT_THAT(lines_, ElementsAre("refused: 1 time in the last minute (a)"));
  for (int i = 0; i < 1000; ++i) log_.Count("b", now_ + std::chrono::seconds(59));
  EXPECT_EQ(lines_.size(), 1u);
  log_.Count("", now_ + LimitLog::kInterval);
  EXPECT_THAT(lines_, ElementsAre("refused: 1 time in the last minute (a)",
                                  "refused: 1001 times in the last minute"));
  EXPECT_EQ(log_.total(), 1002);
}

TEST_F(LimitLogTest, LogsTheRestAfterTheLastOccurrence) {
  log_.Flush(now_);
  EXPECT_THAT(lines_, IsEmpty());
  log_.Count("", now_);
  log_.Count("", now_);
  log_.Flush(now_);
  EXPECT_EQ(lines_.size(), 1u);
  log_.Flush(now_ + LimitLog::kInterval);
  log_.Flush(now_ + 3 * LimitLog::kInterval);
  EXPECT_THAT(lines_, ElementsAre("refused: 1 time in the last minute",
                                  "refused: 1 time in the last minute"));
}

TEST_F(LimitLogTest, LogsTheRestAtTheEndHoweverSoon) {
  log_.Count("a", now_);
  log_.Count("b", now_);
  log_.End(now_);
  log_.End(now_);
  EXPECT_THAT(lines_, ElementsAre("refused: 1 time in the last minute (a)",
                                  "refused: 1 time in the last minute (b)"));
}

}  // namespace
}  // namespace rpc
