#ifndef SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
#define SERVICE_LIFECYCLE_SIGNAL_THREAD_H_

#include <chrono>
#include <functional>
#include <optional>

#include "service/lifecycle/clock.h"

namespace lifecycle {

// Has signals mean what docs/operations.md says from now on, to the end of the process, its
// last static destructor included: starts the thread that takes SIGTERM, SIGINT, SIGHUP and
// SIGQUIT, and blocks them in the calling thread, and so in every thread that it starts from
// now on. Ignores the others that would kill the process by default, but not those that tell
// of a crash. What the program wants to have for itself it gives a handler: SIGHUP and SIGQUIT
// before (nohup's SIGHUP stays ignored, too), the ignored ones at any time.
//
// It also sees to an end that nobody has planned (unplanned_end.h), and that stdin, stdout and
// stderr are there (standard_streams.h). Ends the process with
// kCouldNotStart when no thread is to be had.
//
// Requires: called first in main(), before any other thread exists; gRPC starts
// threads as soon as it is touched, and a single thread that does not block the
// signal lets it kill the process in the middle of the drain.
//
// Child processes inherit this: call UnblockStopSignals() between fork and exec.
void BlockStopSignals();
void UnblockStopSignals();

enum class SignalMeaning {
  kNothing,
  kTerminate,  // A request to stop.
  kInterrupt,  // The same, of a person at a terminal.
  kHurry,
  kLeave,
  kShow,  // What is in flight.
};

// What a signal means, by how many came before it.
//
// The first asks for the shutdown. The second makes it hurry. The third leaves at
// once. A SIGTERM within kRepeat of one that counted is the platform saying the
// same thing twice (systemd and container runtimes do), and counts for nothing.
//
// Threads: one.
class SignalCount {
 public:
  static constexpr Clock::Duration kRepeat = std::chrono::seconds(1);

  explicit SignalCount(Clock& clock) : clock_(clock) {}

  SignalMeaning Next(int signal);

 private:
  Clock& clock_;
  int count_ = 0;
  std::optional<Clock::TimePoint> last_term_;  // The last that counted.
};

// Who does what signals mean, while it lives. Before the first there is nothing to stop, and
// a signal that asks for it ends the process with kClean. After the last, the signals are
// counted on, and a third ends the process.
//
// Requires: BlockStopSignals() was called; one at a time in a process.
// Threads: `act` is called on the thread that takes the signals. The destructor waits for it.
class SignalListener {
 public:
  explicit SignalListener(std::function<void(SignalMeaning)> act);
  ~SignalListener();
  SignalListener(const SignalListener&) = delete;
  SignalListener& operator=(const SignalListener&) = delete;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
