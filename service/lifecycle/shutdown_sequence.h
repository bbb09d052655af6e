#ifndef SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_

#include <atomic>
#include <stop_token>
#include <string>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/observer.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/stop_budget.h"
#include "service/lifecycle/stop_request.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Who takes part in a stop. Not owned; all outlive the sequence.
struct StopParts {
  Traffic& traffic;
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
//   phase        what happens                            limit         what callers see
//   -----------  --------------------------------------  ------------  -----------------------
//   kLameDuck    health says NOT_SERVING                 lame_duck     answers
//   kLeaving     listener closed, goodbye to streams,    connections   answers; new connections
//                connections age out                                   are refused
//   kDraining    Server::Shutdown(deadline)              calls         running calls: answers
//   kCancelling  what still runs is cancelled            streams       UNAVAILABLE
//   kWorking     background workers finish their item    workers
//   kSaving      state is saved; everything is open      save
//   kClosing     the registry, dependants first          close
//   kStopped     told what happened                      reserve
//
// Every phase ends as soon as it has nothing left to wait for. A person's
// interrupt skips the lame duck and does not wait for idle connections. A hurry
// shrinks every remaining wait to next to nothing; the order holds all the same.
//
// Threads: Run() is called once, on a thread that is nobody else's (main);
// phase() may be called from any.
class ShutdownSequence {
 public:
  ShutdownSequence(const StopParts& parts, const StopBudget& budget, std::stop_token hurry,
                   Clock& clock, Observer& observer);

  // Tells the observer, in this order:
  //
  //   LameDuckEntered, ListenerClosed, GoodbyeSaid, ConnectionsGone | ConnectionsLeft,
  //   ShutdownBegun, CallsFinished | CallsCut, ServerStopped | ServerAbandoned,
  //   WorkersStopped | WorkerFailed..., StateSaved | SaveFailed...,
  //   Closed | CloseFailed..., Stopped
  StopOutcome Run(StopReason reason);

  Phase phase() const { return phase_; }

 private:
  void LameDuck();
  void Leave(StopReason reason);
  void Drain();
  void Cancel();
  void StopWorkers();
  void Save();
  void Close();

  Patience Enter(Phase phase, Clock::Duration budget);
  void Tell(std::string name, std::string subject = "", std::string detail = "");
  // Tells it as something that a person should look at, and remembers the code.
  void TellFailure(ExitCode code, std::string name, std::string subject, std::string detail);
  void TellClosed(ExitCode code, std::string name, const ShutdownRegistry::Closed& closed);

  const StopParts parts_;
  const StopBudget budget_;
  const std::stop_token hurry_;
  Clock& clock_;
  Observer& observer_;
  StopOutcome outcome_;
  std::atomic<Phase> phase_{Phase::kServing};
};

// What is told of an entry of a registry that was done with.
Event EventOf(const ShutdownRegistry::Closed& closed, std::string name, Phase phase,
              Clock::TimePoint at);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_SEQUENCE_H_
