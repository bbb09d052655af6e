#ifndef SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/manual_drain.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// The parts of a process that a shutdown needs besides its server. Not owned.
struct ShutdownParts {
  ShutdownRequest& request;
  ManualDrain& drain;
  TaskGroup& workers;
  // Saves state while everything is still open. Its entries use nothing, so they all save in
  // parallel.
  ShutdownRegistry& savers;
  ShutdownRegistry& registry;
};

struct ShutdownOutcome {
  ExitCode exit_code = ExitCode::kClean;
  // Something still runs (a handler, a worker, a closer) and may use any object: the process must
  // end without destroying one.
  bool abandoned = false;
};

// The order of a shutdown. It is defined here and nowhere else:
//
//   phase                 what happens                                 share of the budget  what callers see
//   --------------------  -------------------------------------------  -------------------  ----------------
//   kServing              waits for a request                          -                    answers
//   kLameDuck             health says NOT_SERVING                      lame_duck            answers, with a hint
//   kDrainingConnections  listener closed, GOAWAY on every connection, drain_connections    answers; new
//                         then goodbye to streams                                           connections are refused
//   kDrainingCalls        Server::Shutdown(); calls finish             drain_calls          running calls: answers
//   kCancellingCalls      calls still running are cancelled            cancel_calls         UNAVAILABLE
//   kStoppingWorkers      background workers finish their item         stop_workers
//   kSavingState          state is saved; everything is open           save_state
//   kClosingResources     the registry, dependants first               close_resources
//   kStopped              the report is written                        reserve
//
// The lame duck always lasts its full time, which the platform needs to notice it. Every other
// phase ends as soon as it has nothing left to wait for, and at the latest when only the time
// guaranteed to later phases is left (ShutdownBudget::EndOf()). SIGINT, SIGHUP and a handover to
// another process skip the lame duck.
// Expediting a shutdown shrinks every remaining wait to next to nothing; the order stays the same.
//
// A manual drain follows the same order, but stops on the way:
//
//   kLameDuck             as in a shutdown; undoing the drain leads back to kServing.
//   kDrainingConnections  has no limit, and lasts until a shutdown is requested. Whether new
//                         connections are refused or wait, Traffic::CloseListener() says.
//
// A shutdown that is requested meanwhile continues from there: the lame duck lasts until its own
// end, and remaining connections get the time of a shutdown. Observers hear how much that is
// (OnPhaseLimit()).
//
// A shutdown that is requested before callers are let in skips everything that is done for callers:
// nobody is let in, and there is no lame duck.
//
// A failed start is rolled back: kStoppingWorkers, kClosingResources, kStopped.
//
// Threads: Open() and then Run(), or RollBack() alone, are called once, on main's thread; the rest
// may be called from any thread.
// Lifetime: everything passed in is used until these have returned.
class ShutdownSequence {
 public:
  ShutdownSequence(const ShutdownParts& parts, const ShutdownBudget& budget, Clock& clock,
                   Observer& observer);

  // Lets callers in through `traffic`, unless a shutdown was requested.
  //
  // Errors: those of Traffic::Open(); then there is nothing to run.
  absl::Status Open(Traffic& traffic);

  // Serves until a shutdown is requested, then shuts down. Emits each phase as it begins, except
  // kStarting, and in this order:
  //
  //   Serving, ShutdownRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid,
  //   ConnectionsGone | ConnectionsRemain, NewCallsRefused,
  //   CallsFinished | CallsCut, [LateCallsCut,] ServerStopped | ServerAbandoned,
  //   WorkersStopped | WorkerFailed..., StateSaved | SaveFailed...,
  //   Closed | CloseFailed..., [WorkerFailed...,] Stopped
  //
  // With a manual drain, the first events are:
  //
  //   Serving, ManualDrainRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid, Drained,
  //   ShutdownRequested
  //
  // If the shutdown is requested before the drain is complete, ShutdownRequested follows
  // LameDuckEntered or GoodbyeSaid, and there is no Drained. If the drain is undone, everything
  // starts again after LameDuckEntered.
  //
  // Requires: Open() returned OK.
  ShutdownOutcome Run();

  // Rolls back a start that failed because of `why`; the exit code is kCouldNotStart whatever else
  // fails. Requires: a shutdown was requested. Emits the phases, and:
  //
  //   CouldNotStart, WorkersStopped | WorkerFailed..., Closed | CloseFailed..., [WorkerFailed...]
  ShutdownOutcome RollBack(const absl::Status& why);

  Phase phase() const { return phase_; }

  // The latest end of the phase; unset: not known. Read after phase(), it may already be that of
  // the next phase.
  std::optional<Clock::TimePoint> phase_ends() const;

  // Whether a manual drain is complete.
  bool drained() const { return drained_; }

 private:
  void Serve();
  // False: a manual drain was undone, and the process serves as before.
  bool LameDuck();
  void DrainConnections();
  void StayDrained();
  void DrainCalls();
  void CancelCalls();
  void StopWorkers();
  void SaveState();
  void CloseResources();

  // Whether a shutdown was requested; emits ShutdownRequested the first time.
  bool NoticeShutdown();

  // Requires: a shutdown was noticed.
  Patience Enter(Phase phase) { return Enter(phase, EndOf(phase)); }
  Patience Enter(Phase phase, Clock::TimePoint end);
  // Sets the end of the phase that is running.
  void Limit(Clock::TimePoint end);
  // When a phase must have ended; never, as long as no shutdown was noticed.
  Clock::TimePoint EndOf(Phase phase) const;
  // Ends at `end`, or soon after the shutdown is expedited.
  Patience Until(Clock::TimePoint end);
  void Emit(EventType type, std::string subject = "", std::string detail = "");
  void EmitClosed(EventType ok, EventType failed, const ShutdownRegistry::Closed& closed);
  // Also records the event's exit code.
  void Emit(const Event& event);

  const ShutdownParts parts_;
  const ShutdownBudget budget_;
  Clock& clock_;
  Observer& observer_;
  Traffic* traffic_ = nullptr;  // Set by Open().
  ShutdownOutcome outcome_;
  std::optional<ShutdownReason> reason_;  // Unset until a shutdown is noticed.
  std::atomic<Phase> phase_{Phase::kStarting};
  std::atomic<Clock::TimePoint> phase_ends_{Clock::TimePoint::max()};
  std::atomic<bool> drained_{false};
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
