#ifndef SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Who takes part in a shutdown, beside the server. Not owned.
struct ShutdownParts {
  ShutdownRequest& request;
  ManualDrain& drain;
  TaskGroup& workers;
  // What saves state, while everything is still open. Entries that use nothing:
  // all save at once.
  ShutdownRegistry& savers;
  ShutdownRegistry& registry;
};

struct ShutdownOutcome {
  ExitCode exit_code = ExitCode::kClean;
  // Something still runs (a handler, a worker, a closer) and may use anything:
  // the process must end without destroying an object.
  bool abandoned = false;
};

// The order of a shutdown. This is the one place where it stands:
//
//   phase                 what happens                                 share of the budget  what callers see
//   --------------------  -------------------------------------------  -------------------  ----------------
//   kServing              waits for a request                          -                    answers
//   kLameDuck             health says NOT_SERVING                      lame_duck            answers, with a hint
//   kDrainingConnections  listener closed, GOAWAY on every connection, drain_connections    answers; new
//                         then goodbye to streams                                           connections are refused
//   kDrainingCalls        Server::Shutdown(); calls finish             drain_calls          running calls: answers
//   kCancellingCalls      what still runs is cancelled                 cancel_calls         UNAVAILABLE
//   kStoppingWorkers      background workers finish their item         stop_workers
//   kSavingState          state is saved; everything is open           save_state
//   kClosingResources     the registry, dependants first               close_resources
//   kStopped              told what happened                           reserve
//
// The lame duck lasts as long as it says: it is what the platform needs to take notice.
// Every other phase ends as soon as it has nothing left to wait for, and at the latest
// when only what is guaranteed to the phases behind it is left (ShutdownBudget::EndOf()). A
// person's interrupt skips the lame duck. A hurry shrinks every remaining wait to next
// to nothing; the order holds all the same.
//
// A manual drain goes the same way, and halts:
//
//   kLameDuck             as in a shutdown. Taken back: kServing again, the one step back there is.
//   kDrainingConnections  has no limit, and lasts until a shutdown is requested, drained or not.
//
// A shutdown that is requested meanwhile goes on from there: a lame duck lasts until its own
// end, and connections that are left have the time of a shutdown.
//
// A shutdown that is requested before there is anybody who could call leaves out what is
// done for callers' sake: nobody is let in, and there is no lame duck.
//
// A start that fails is rolled back: kStoppingWorkers, kClosingResources and kStopped.
//
// Threads: Open() and then Run(), or RollBack(), are called once, on a thread that is
// nobody else's (main); the rest may be called from any.
// Lifetime: what takes part is used until these have returned.
class ShutdownSequence {
 public:
  ShutdownSequence(const ShutdownParts& parts, const ShutdownBudget& budget, Clock& clock,
                   Observer& observer);

  // Lets the callers of `traffic` in, unless a shutdown has been requested.
  //
  // Errors: those of Traffic::OpenListener(); there is nothing to run then.
  absl::Status Open(Traffic& traffic);

  // Serves until a shutdown is requested, and stops. Tells the observer each phase as it
  // begins, but kStarting, and in this order:
  //
  //   Serving, ShutdownRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid,
  //   ConnectionsGone | ConnectionsRemain, NewCallsRefused,
  //   CallsFinished | CallsCut, [LateCallsCut,] ServerStopped | ServerAbandoned,
  //   WorkersStopped | WorkerFailed..., StateSaved | SaveFailed...,
  //   Closed | CloseFailed..., Stopped
  //
  // With a manual drain the first of them are:
  //
  //   Serving, ManualDrainRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid, Drained,
  //   ShutdownRequested
  //
  // A shutdown that comes before the drain has come to its end is told behind
  // LameDuckEntered or GoodbyeSaid, and there is no Drained. When the drain is taken
  // back, all begins again behind LameDuckEntered.
  //
  // Requires: Open() was OK.
  ShutdownOutcome Run();

  // Ends a start that failed, because of `why`, with kCouldNotStart whatever else
  // fails. Requires: a shutdown was requested. Tells the observer the phases, and:
  //
  //   CouldNotStart, WorkersStopped | WorkerFailed..., Closed | CloseFailed...
  ShutdownOutcome RollBack(const absl::Status& why);

  Phase phase() const { return phase_; }

  // When the phase ends at the latest; unset: nobody knows. Read after phase(), it
  // may be that of the next.
  std::optional<Clock::TimePoint> phase_ends() const;

  // Whether a manual drain has come to its end.
  bool drained() const { return drained_; }

 private:
  void Serve();
  // False: a manual drain was taken back, and the process serves as before.
  bool LameDuck();
  void DrainConnections();
  void StayDrained();
  void DrainCalls();
  void CancelCalls();
  void StopWorkers();
  void SaveState();
  void CloseResources();

  // Whether a shutdown was requested; tells it the first time.
  bool NoticeStop();

  // Requires: a shutdown was noticed.
  Patience Enter(Phase phase) { return Enter(phase, EndOf(phase)); }
  Patience Enter(Phase phase, Clock::TimePoint end);
  // By when a phase must have ended: for ever, as long as no shutdown was noticed.
  Clock::TimePoint EndOf(Phase phase) const;
  // Ends at `end`, or soon after a hurry.
  Patience Until(Clock::TimePoint end);
  void Tell(EventType type, std::string subject = "", std::string detail = "");
  void TellClosed(EventType type, const ShutdownRegistry::Closed& closed);
  // Remembers its exit code as well.
  void Tell(const Event& event);

  const ShutdownParts parts_;
  const ShutdownBudget budget_;
  Clock& clock_;
  Observer& observer_;
  Traffic* traffic_ = nullptr;  // Set by Open().
  ShutdownOutcome outcome_;
  std::optional<ShutdownReason> reason_;  // Unset until a shutdown was noticed.
  std::atomic<Phase> phase_{Phase::kStarting};
  std::atomic<Clock::TimePoint> phase_ends_{Clock::TimePoint::max()};
  std::atomic<bool> drained_{false};
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
