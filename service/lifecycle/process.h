#ifndef SERVICE_LIFECYCLE_PROCESS_H_
#define SERVICE_LIFECYCLE_PROCESS_H_

#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/unplanned_end.h"
#include "service/lifecycle/last_resort/watchdog.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/shutdown_sequence.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"
#include "service/lifecycle/way_out.h"

namespace lifecycle {

// Where a process stands at one moment, as well as can be told while it goes on.
struct Standing {
  Phase phase = Phase::kStarting;
  // What is left of the phase's time; unset: it has no limit.
  std::optional<Clock::Duration> time_left = std::nullopt;
  // A manual drain has come to its end: no caller is left.
  bool drained = false;
  Traffic::Load load{};
};

// One process, from its first signal to its exit code: what a main() holds on to
// while it opens things from the bottom up, and hands over to once it serves.
//
//   BlockStopSignals();
//   Process process(budget, observer);
//   ... open; process.registry().Register("database", ...); ...
//   return process.ServeUntilStopped(server);
//
// An end that nobody has planned (unplanned_end.h) is one of a start that fails, as
// CouldNotStart() has it, when it comes on main's thread before it serves: an exception of
// what main opens. Otherwise it is told, and the process ends with kBug.
//
// Requires: BlockStopSignals() came first; one at a time in a process; declared
// before everything that is registered with it, so that it is destroyed last; main
// returns through ServeUntilStopped() or CouldNotStart().
//
// Threads: the accessors may be used from any thread, the rest from main's.
// Throws std::system_error when there is no thread for it.
class Process {
 public:
  Process(const ShutdownBudget& budget, Observer& observer);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // What is closed in the end, in order.
  ShutdownRegistry& registry() { return registry_; }

  // Who works in the background. One that throws is missed: the process stops, and its
  // platform starts another.
  TaskGroup& workers() { return workers_; }

  // What saves state before anything is closed. `save` is bounded and guarded
  // like a closer.
  void SaveOnStop(std::string name, ShutdownRegistry::Closer save);

  ShutdownRequest& shutdown_request() { return request_; }

  // An operator's wish to drain the server without a shutdown.
  ManualDrain& manual_drain() { return drain_; }

  // Requires: not called any more once the registry was closed, which is why who
  // calls it is registered there.
  Standing Look() const;

  // Lets the callers in and serves until a shutdown is requested, then stops, in the order
  // that shutdown_sequence.h draws; and drains the server before, when a manual drain is
  // requested. Returns what main() returns. When the callers cannot be let in, ends as
  // CouldNotStart() does.
  //
  // Does not return when something could not be made to end: it would use what
  // main's destructors destroy. The process then ends here, with its exit code.
  // It also ends here at the third signal, and when the whole budget is spent,
  // which covers the destructors in main, too, and those of static objects.
  //
  // Tells the observer what the sequence tells, and the end.
  int ServeUntilStopped(Traffic& traffic);

  // Ends a start that failed: closes what was opened, in the same order as a shutdown
  // would, and returns what main() returns. `why` is told in one line. It is a shutdown
  // like any other: the watchdog limits it, signals make it hurry, and it does not
  // return when something could not be made to end.
  //
  // Tells the observer what the sequence tells, and the end.
  int CouldNotStart(const absl::Status& why);

 private:
  // What runs, for the watchdog and for whoever asks. Waits for no lock.
  std::string InFlight() const;
  void OnSignal(SignalMeaning meaning);
  void Show();
  // These end the process. Each may hang; the watchdog ends it then.
  void OnExpired();
  [[noreturn]] void LeaveAtOnce();
  void OnUnplannedEnd(const std::string& why);

  Clock& clock_;
  const ShutdownBudget budget_;
  const std::string grace_;  // In words, made while there is memory to be had.
  Observer& observer_;
  ShutdownRequest request_;
  ManualDrain drain_;
  ShutdownRegistry registry_;
  ShutdownRegistry savers_;
  ShutdownSequence sequence_;
  mutable std::mutex looking_;
  Traffic* traffic_ = nullptr;  // Guarded by looking_. Null unless callers are let in.
  // Of main's thread.
  bool ends_as_planned_ = false;
  bool main_has_left_ = false;
  const std::thread::id main_;
  WayOut way_out_;
  Watchdog watchdog_;
  SignalListener signals_;
  UnplannedEnd unplanned_end_;
  TaskGroup workers_;  // Waited for while the watchdog and the signals still work.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_PROCESS_H_
