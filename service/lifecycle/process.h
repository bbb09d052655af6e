#ifndef SERVICE_LIFECYCLE_PROCESS_H_
#define SERVICE_LIFECYCLE_PROCESS_H_

#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/exit_reporter.h"
#include "service/lifecycle/last_resort/unplanned_end.h"
#include "service/lifecycle/last_resort/watchdog.h"
#include "service/lifecycle/manual_drain.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/shutdown_sequence.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// A snapshot of the process, as exact as it can be while the process runs.
struct ProcessStatus {
  Phase phase = Phase::kStarting;
  // Time left in the phase; unset: it has no limit.
  std::optional<Clock::Duration> time_left = std::nullopt;
  // A manual drain is complete: no caller is left.
  bool drained = false;
  Traffic::Load load{};
};

// One process, from its first signal to its exit code: main() holds it while it opens resources
// from the bottom up, and hands over to it in order to serve.
//
//   BlockShutdownSignals();
//   Process process(budget, observer);
//   ... open; process.registry().Register("database", ...); ...
//   return process.ServeUntilShutdown(server);
//
// An unplanned end (unplanned_end.h) on main's thread before it serves, such as an exception while
// main opens something, counts as a failed start and is handled as by CouldNotStart(). Any other
// unplanned end is reported, and the process exits with kBug.
//
// Requires: BlockShutdownSignals() was called first; only one Process at a time; declared before
// everything that is registered with it, so that it is destroyed last; main returns through
// ServeUntilShutdown() or CouldNotStart().
//
// Threads: the accessors may be used from any thread, the rest from main's.
// Throws std::system_error when a thread cannot be created.
class Process {
 public:
  Process(const ShutdownBudget& budget, Observer& observer);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // What to close at the end, and in which order.
  ShutdownRegistry& registry() { return registry_; }

  // The background workers. One that throws starts a shutdown: the platform then starts a
  // replacement.
  TaskGroup& workers() { return workers_; }

  // Registers a saver, which runs before anything is closed, and at the same time as all other savers,
  // on another thread: what two of them write needs a lock. `save` is bounded and guarded like a closer.
  // Requires: not everything has been saved yet; a closer is too late.
  void SaveOnShutdown(std::string name, ShutdownRegistry::Closer save);

  ShutdownRequest& shutdown_request() { return request_; }

  // An operator's request to drain the server without a shutdown.
  ManualDrain& manual_drain() { return drain_; }

  Phase phase() const { return sequence_.phase(); }

  // Requires: not called after the registry was closed; so whoever calls it is registered there.
  ProcessStatus Look() const;

  // What a shutdown waits for, for people: running calls, workers that were asked to stop, what is
  // saving or closing; empty: nothing. A request that is still arriving is not a call yet. Waits for no
  // lock.
  std::string InFlight() const;

  // Whether the process may be left to itself, also when it is drained: it serves callers, if slowly,
  // or it is shutting down, which ends. False: all of gRPC's threads are blocked, while calls are
  // running or for a minute; where handlers and callbacks never return, only a restart helps. Waits for
  // no lock that can be held for long.
  bool Alive() const;

  // Lets callers in, serves until a shutdown is requested, and shuts down in the order that
  // shutdown_sequence.h draws; before that, drains the server if a manual drain is requested.
  // Returns the value for main() to return. If callers cannot be let in, does what CouldNotStart()
  // does. Called once: of several servers, `traffic` is a TrafficGroup.
  //
  // Does not return when something still runs, because it would use objects that main's destructors
  // destroy: the process then exits here, with its exit code. It also exits here at the third
  // signal and when the whole budget is spent; that covers the destructors in main and of static
  // objects, too.
  //
  // Emits to the observer what the sequence emits, and the end.
  int ServeUntilShutdown(Traffic& traffic);

  // Rolls back a failed start: closes what was opened, in the order of a shutdown, and returns the
  // value for main() to return. The end that is emitted says `why`. It is a shutdown like any other: the
  // watchdog limits it, an interrupt expedites it (another signal only if it is the second), and it
  // does not return when something still runs.
  //
  // Emits to the observer what the sequence emits, and the end.
  int CouldNotStart(const absl::Status& why);

 private:
  void OnSignal(SignalMeaning meaning);
  void Show();
  // These end the process. Each may hang; then the watchdog ends the process.
  void OnExpired();
  [[noreturn]] void LeaveAtOnce();
  void OnUnplannedEnd(const std::string& why);

  Clock& clock_;
  const ShutdownBudget budget_;
  const std::string grace_;  // As text, formatted while memory can still be allocated.
  Observer& observer_;
  ShutdownRequest request_;
  ManualDrain drain_;
  ShutdownRegistry registry_;
  ShutdownRegistry savers_;
  TaskGroup workers_;  // Joined by the sequence before this is destroyed.
  ShutdownSequence sequence_;
  mutable std::mutex looking_;
  Traffic* traffic_ = nullptr;  // Guarded by looking_. Null unless callers are let in.
  // Used by main's thread only: nobody is let in or rolled back yet, and what is registered exists.
  bool may_roll_back_ = true;
  const std::thread::id main_;
  ExitReporter exit_reporter_;
  Watchdog watchdog_;
  SignalListener signals_;
  UnplannedEnd unplanned_end_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_PROCESS_H_
