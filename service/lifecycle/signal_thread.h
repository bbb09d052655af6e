#ifndef SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
#define SERVICE_LIFECYCLE_SIGNAL_THREAD_H_

#include <chrono>
#include <functional>
#include <optional>

#include "service/lifecycle/clock.h"

namespace lifecycle {

// Gives signals the meaning that docs/operations.md describes, until the end of the process,
// including its last static destructor. Starts the thread that takes SIGTERM, SIGINT, SIGHUP and
// SIGQUIT, and blocks these in the calling thread and therefore in every thread that it starts
// later. What a SIGQUIT shows may hang, so another thread shows it. Ignores the other signals that
// would kill the process by default, except those that report a crash. A program that needs a
// signal for itself installs its own handler: for SIGHUP and SIGQUIT before this call (nohup's
// ignored SIGHUP stays ignored), for the ignored ones at any time.
//
// It also handles unplanned ends (unplanned_end.h) and makes sure that stdin, stdout and stderr are
// open (standard_streams.h). Exits with kCouldNotStart when a thread cannot be created.
//
// Requires: called first in main(), before any other thread exists. gRPC starts threads as soon as
// it is used, and a single thread that does not block the signal lets it kill the process in the
// middle of a drain.
//
// Child processes inherit this: call UnblockShutdownSignals() between fork and exec.
void BlockShutdownSignals();
void UnblockShutdownSignals();

enum class SignalMeaning {
  kNothing,
  kTerminate,  // Requests a shutdown.
  kInterrupt,  // The same, from a person at a terminal.
  kExpedite,
  kLeave,
  kShow,  // Prints what is in flight. May take long.
};

// The meaning of a signal, depending on how many came before it.
//
// The first one requests the shutdown, the second expedites it, the third exits at once. A SIGTERM
// or SIGHUP within kRepeat of one of either that counted is the platform repeating itself and is
// ignored: systemd and container runtimes send SIGTERM twice, or SIGHUP behind it (SendSIGHUP=), and
// a terminal that is closed sends SIGHUP twice, from the shell and from the kernel.
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
  std::optional<Clock::TimePoint> last_from_platform_;  // When a SIGTERM or SIGHUP counted.
};

// Acts on signals while it exists. Before the first listener there is nothing to shut down, and a
// signal that requests a shutdown exits with kClean. After the last one, signals are still counted,
// and a third one exits.
//
// Requires: BlockShutdownSignals() was called; only one at a time in a process.
// Threads: `act` is called on the signal thread, which it must not keep, and with kShow on another,
// maybe at the same time. Several SIGQUITs may be shown as one. The destructor waits for both.
class SignalListener {
 public:
  explicit SignalListener(std::function<void(SignalMeaning)> act);
  ~SignalListener();
  SignalListener(const SignalListener&) = delete;
  SignalListener& operator=(const SignalListener&) = delete;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
