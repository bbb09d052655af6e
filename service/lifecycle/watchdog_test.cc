#include "service/lifecycle/watchdog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <stop_token>
#include <thread>

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

TEST(Watchdog, BitesWhenTheAllowanceIsSpent) {
  StopRequest request(Clock::Steady());
  std::promise<Clock::TimePoint> bitten;
  Watchdog watchdog(request, milliseconds(5), [&] { bitten.set_value(Clock::Steady().Now()); });
  request.Request(StopReason::kTerminate);
  EXPECT_GE(bitten.get_future().get(), request.requested_at() + milliseconds(5));
}

TEST(Watchdog, BitesWhenTheStopWasRequestedBeforeItWasThere) {
  StopRequest request(Clock::Steady());
  request.Request(StopReason::kTerminate);
  std::promise<void> bitten;
  Watchdog watchdog(request, milliseconds(1), [&] { bitten.set_value(); });
  bitten.get_future().wait();
}

TEST(Watchdog, DoesNothingBeforeAStopIsRequested) {
  StopRequest request(Clock::Steady());
  std::atomic<bool> bitten = false;
  Watchdog watchdog(request, milliseconds(0), [&] { bitten = true; });
  // Another one, whose time begins now, has bitten before anything is looked at.
  StopRequest requested(Clock::Steady());
  requested.Request(StopReason::kTerminate);
  std::promise<void> other_has_bitten;
  Watchdog other(requested, milliseconds(5), [&] { other_has_bitten.set_value(); });
  other_has_bitten.get_future().wait();
  EXPECT_FALSE(bitten);
}

TEST(Watchdog, DoesNothingAnyMoreWhenItIsCalledOff) {
  StopRequest request(Clock::Steady());
  std::atomic<bool> bitten = false;
  {
    Watchdog watchdog(request, hours(1), [&] { bitten = true; });
    request.Request(StopReason::kTerminate);
  }
  EXPECT_FALSE(bitten);
}

TEST(Watchdog, IsWaitedForByItsDestructorWhenItHasBegunToBite) {
  StopRequest request(Clock::Steady());
  std::promise<void> began;
  std::atomic<bool> ended = false;
  auto watchdog = std::make_unique<Watchdog>(request, milliseconds(0), [&] {
    began.set_value();
    std::this_thread::yield();
    ended = true;
  });
  request.Request(StopReason::kTerminate);
  began.get_future().wait();
  watchdog.reset();
  EXPECT_TRUE(ended);
}

TEST(Watchdog, BitesAlsoWhenACallbackOfTheRequestHangs) {
  StopRequest request(Clock::Steady());
  std::promise<void> bitten;
  Watchdog watchdog(request, milliseconds(1), [&] { bitten.set_value(); });
  const std::stop_callback hangs(request.requested(), [&] { bitten.get_future().wait(); });
  request.Request(StopReason::kTerminate);  // Returns only because of the bite.
}

}  // namespace
}  // namespace lifecycle
