#ifndef SERVICE_LIFECYCLE_TESTING_SIMULATION_H_
#define SERVICE_LIFECYCLE_TESTING_SIMULATION_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {

// A time in which threads take as long as they are told to, and no machine is slow:
// it stands still while any of them runs, and goes on when all of them wait.
//
// The problem: what somebody does on a thread of its own takes its time on a fake
// clock, and a test that moves the clock too early makes it look late.
//
// Threads: End() on any; Enter(), Begin(), Pause(), PauseUntil() and Hang() on those that
// take part, the rest on the test's.
class Simulation : public std::enable_shared_from_this<Simulation> {
 public:
  FakeClock& clock() { return clock_; }

  // The thread that calls takes part from now on until it has ended, with everything
  // that its starter does on it. It shares this object.
  void Enter();

  // The same for work on a thread that goes on afterwards: between these two it takes part.
  void Begin() { ++entered_; }
  void End() { ++ended_; }

  // Return after so long, at a shutdown, or never. False: the test has let go, and may be
  // gone.
  bool Pause(Clock::Duration duration);
  bool PauseUntil(std::stop_token stop);
  bool Hang();

  // Ends what is still waited for.
  void LetGo();

  // When the first of those who wait is to go on; unset while anybody runs: a thread
  // that takes part, or one of `others` that do not and wait in the clock, or who has
  // not entered yet by `all_entered`.
  std::optional<Clock::TimePoint> Next(std::size_t others,
                                       const std::function<bool()>& all_entered);

 private:
  bool Wait(Clock::TimePoint until, std::stop_token stop);

  FakeClock clock_;
  std::atomic<std::size_t> entered_{0};  // So far.
  std::atomic<std::size_t> ended_{0};    // Of these.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool let_go_ = false;  // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_SIMULATION_H_
