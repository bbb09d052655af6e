#include "service/admin/drain_news.h"

#include <chrono>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/process.h"

namespace admin {
namespace {

using lifecycle::Phase;
using lifecycle::ProcessStatus;
using testing::ElementsAre;

class DrainNewsTest : public testing::Test {
 protected:
  // Looks every 50 ms for a time, while each look sees other numbers. Returns when something was
  // told, in ms since the start.
  std::vector<int> Told(int milliseconds) {
    std::vector<int> told;
    for (const int end = at_ + milliseconds; at_ < end; at_ += 50) {
      ++now_.load.hinted;
      ++now_.load.calls;
      if (news_.IsNews(now_, kStart + std::chrono::milliseconds(at_))) told.push_back(at_);
    }
    return told;
  }

  static constexpr lifecycle::Clock::TimePoint kStart{std::chrono::hours(1)};
  ProcessStatus now_{.phase = Phase::kServing};
  DrainNews news_;
  int at_ = 0;
};

TEST_F(DrainNewsTest, NumbersAreToldOnceASecond) {
  EXPECT_THAT(Told(3500), ElementsAre(0, 1000, 2000, 3000));
}

TEST_F(DrainNewsTest, ANewPhaseAndTheEndAreToldAtOnce) {
  EXPECT_THAT(Told(100), ElementsAre(0));
  now_.phase = Phase::kLameDuck;
  EXPECT_THAT(Told(1200), ElementsAre(100, 1100));
  now_.phase = Phase::kDrainingConnections;
  EXPECT_THAT(Told(100), ElementsAre(1300));
  now_.drained = true;
  EXPECT_THAT(Told(100), ElementsAre(1400));
}

}  // namespace
}  // namespace admin
