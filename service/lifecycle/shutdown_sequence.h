#ifndef SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_

#include <atomic>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/drain_request.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/observer.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/stop_budget.h"
#include "service/lifecycle/stop_request.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Who takes part in a stop, beside the server. Not owned.
struct StopParts {
  StopRequest& request;
  DrainRequest& drain;
  TaskGroup& workers;
  // What saves state, while everything is still open. Entries that use nothing:
  // all save at once.
  ShutdownRegistry& savers;
  ShutdownRegistry& registry;
};

struct StopOutcome {
  ExitCode exit_code = ExitCode::kClean;
  // Something still runs (a handler, a worker, a closer) and may use anything:
  // the process must end without destroying an object.
  bool abandoned = false;
};

// The order of a stop. This is the one place where it stands:
//
//   phase        what happens                            ends at last  what callers see
//   -----------  --------------------------------------  ------------  -----------------------
//   kServing     waits for a request                     -             answers
//   kLameDuck    health says NOT_SERVING                 lame_duck     answers, with a hint
//   kLeaving     listener closed, GOAWAY on every        connections   answers; new connections
//                connection, then goodbye to streams                   are refused
//   kDraining    Server::Shutdown(); calls finish        calls         running calls: answers
//   kCancelling  what still runs is cancelled            streams       UNAVAILABLE
//   kWorking     background workers finish their item    workers
//   kSaving      state is saved; everything is open      save
//   kClosing     the registry, dependants first          close
//   kStopped     told what happened                      reserve
//
// The lame duck lasts as long as it says: it is what the platform needs to take notice.
// Every other phase ends as soon as it has nothing left to wait for, and at the latest
// when only what is guaranteed to the phases behind it is left (StopBudget::EndOf()). A
// person's interrupt skips the lame duck. A hurry shrinks every remaining wait to next
// to nothing; the order holds all the same.
//
// A drain by hand goes the same way, and halts:
//
//   kLameDuck    as in a stop. Taken back: kServing again, the one step back there is.
//   kLeaving     has no limit, and lasts until a stop is requested, drained or not.
//
// A stop that is requested meanwhile goes on from there: a lame duck lasts until its own
// end, and connections that are left have the time of a stop.
//
// A stop that is requested before there is anybody who could call leaves out what is
// done for callers' sake: nobody is let in, and there is no lame duck.
//
// A start that fails is rolled back: kWorking, kClosing and kStopped.
//
// Threads: Open() and then Run(), or RollBack(), are called once, on a thread that is
// nobody else's (main); the rest may be called from any.
// Lifetime: what takes part is used until these have returned.
class ShutdownSequence {
 public:
  ShutdownSequence(const StopParts& parts, const StopBudget& budget, Clock& clock,
                   Observer& observer);

  // Lets the callers of `traffic` in, unless a stop has been requested.
  //
  // Errors: those of Traffic::OpenListener(); there is nothing to run then.
  absl::Status Open(Traffic& traffic);

  // Serves until a stop is requested, and stops. Tells the observer each phase as it
  // begins, but kStarting, and in this order:
  //
  //   Serving, StopRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid,
  //   ConnectionsGone | ConnectionsLeft, ShutdownBegun,
  //   CallsFinished | CallsCut, ServerStopped | ServerAbandoned,
  //   WorkersStopped | WorkerFailed..., StateSaved | SaveFailed...,
  //   Closed | CloseFailed..., Stopped
  //
  // With a drain by hand the first of them are:
  //
  //   Serving, DrainRequested, LameDuckEntered, ListenerClosed, GoodbyeSaid, Drained,
  //   StopRequested
  //
  // A stop that comes before the drain has come to its end is told behind
  // LameDuckEntered or GoodbyeSaid, and there is no Drained. When the drain is taken
  // back, all begins again behind LameDuckEntered.
  //
  // Requires: Open() was OK.
  StopOutcome Run();

  // Ends a start that failed, because of `why`, with kCouldNotStart whatever else
  // fails. Requires: a stop was requested. Tells the observer the phases, and:
  //
  //   CouldNotStart, WorkersStopped | WorkerFailed..., Closed | CloseFailed...
  StopOutcome RollBack(const absl::Status& why);

  Phase phase() const { return phase_; }

  // When the phase ends at the latest; unset: nobody knows. Read after phase(), it
  // may be that of the next.
  std::optional<Clock::TimePoint> phase_ends() const;

  // Whether a drain by hand has come to its end.
  bool drained() const { return drained_; }

 private:
  void Serve();
  // False: a drain by hand was taken back, and the process serves as before.
  bool LameDuck();
  void Leave();
  void StayDrained();
  void Drain();
  void Cancel();
  void StopWorkers();
  void Save();
  void Close();

  // Whether a stop was requested; tells it the first time.
  bool NoticeStop();

  // Requires: a stop was noticed.
  Patience Enter(Phase phase) { return Enter(phase, EndOf(phase)); }
  Patience Enter(Phase phase, Clock::TimePoint end);
  // By when a phase must have ended: for ever, as long as no stop was noticed.
  Clock::TimePoint EndOf(Phase phase) const;
  // Ends at `end`, or soon after a hurry.
  Patience Until(Clock::TimePoint end);
  void Tell(std::string name, std::string subject = "", std::string detail = "");
  // Tells it as something that a person should look at, and remembers the code.
  void TellFailure(ExitCode code, std::string name, std::string subject, std::string detail);
  void TellClosed(ExitCode code, std::string name, const ShutdownRegistry::Closed& closed);

  const StopParts parts_;
  const StopBudget budget_;
  Clock& clock_;
  Observer& observer_;
  Traffic* traffic_ = nullptr;  // Set by Open().
  StopOutcome outcome_;
  std::optional<StopReason> reason_;  // Unset until a stop was noticed.
  std::atomic<Phase> phase_{Phase::kStarting};
  std::atomic<Clock::TimePoint> phase_ends_{Clock::TimePoint::max()};
  std::atomic<bool> drained_{false};
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
