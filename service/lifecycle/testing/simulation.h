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

// Simulated time for tests with several threads: each thread takes exactly as long as the test
// says, however slow the machine is. Time stands still while any of them runs, and advances when
// all of them wait.
//
// The problem: work on a thread of its own takes real time; a test that advances a fake clock too
// early makes that work look late.
//
// Threads: End() on any thread; Enter(), Begin(), Pause(), PauseUntil() and Hang() on participating
// threads, the rest on the test's.
class Simulation : public std::enable_shared_from_this<Simulation> {
 public:
  FakeClock& clock() { return clock_; }

  // The calling thread takes part from now until it has ended. It shares this object.
  void Enter();

  // The same for work on a thread that continues afterwards: the thread takes part between these
  // two calls.
  void Begin() { ++entered_; }
  void End() { ++ended_; }

  // These return after `duration`, at a shutdown, or never. False: the test has let go and may be
  // gone.
  bool Pause(Clock::Duration duration);
  bool PauseUntil(std::stop_token stop);
  bool Hang();

  // Ends every pause.
  void LetGo();

  // When the first waiting thread is to continue; unset while anybody runs: a participating thread,
  // one of `others` (which wait in the clock without taking part), or, according to `all_entered`,
  // a thread that has not entered yet.
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
