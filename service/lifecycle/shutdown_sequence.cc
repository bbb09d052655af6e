#include "service/lifecycle/shutdown_sequence.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lifecycle {

ShutdownSequence::ShutdownSequence(const StopParts& parts, const StopBudget& budget,
                                   std::stop_token hurry, Clock& clock, Observer& observer)
    : parts_(parts),
      budget_(budget),
      hurry_(std::move(hurry)),
      clock_(clock),
      observer_(observer) {}

StopOutcome ShutdownSequence::Run(StopReason reason) {
  if (reason == StopReason::kTerminate) LameDuck();
  Leave(reason);
  Drain();
  Cancel();
  StopWorkers();
  Save();
  Close();
  Enter(Phase::kStopped, budget_.reserve);
  Tell("Stopped", "", absl::StrCat("exit code ", static_cast<int>(outcome_.exit_code)));
  return outcome_;
}

void ShutdownSequence::LameDuck() {
  Patience patience = Enter(Phase::kLameDuck, budget_.lame_duck);
  parts_.traffic.EnterLameDuck();
  Tell("LameDuckEntered");
  Patience(clock_, budget_.least_lame_duck, hurry_).Exhaust();
  parts_.traffic.AwaitQuiet(patience);
}

void ShutdownSequence::Leave(StopReason reason) {
  Patience patience = Enter(Phase::kLeaving, budget_.connections);
  parts_.traffic.CloseListener();
  Tell("ListenerClosed");
  const int streams = parts_.traffic.SayGoodbye(patience);
  Tell("GoodbyeSaid", "", absl::StrCat(streams, " streams"));
  if (reason == StopReason::kInterrupt) return;
  if (parts_.traffic.AwaitConnectionsGone(patience)) {
    Tell("ConnectionsGone");
  } else {
    // No failure: calls that cross the shutdown on them may be, but nothing is
    // known to be lost.
    Tell("ConnectionsLeft");
  }
}

void ShutdownSequence::Drain() {
  Patience patience = Enter(Phase::kDraining, budget_.calls);
  parts_.traffic.BeginShutdown(patience.deadline());
  Tell("ShutdownBegun");
  const int running = parts_.traffic.AwaitCallsFinished(patience);
  if (running == 0) {
    Tell("CallsFinished");
  } else {
    TellFailure(ExitCode::kForced, "CallsCut", "", absl::StrCat(running, " calls still ran"));
  }
}

void ShutdownSequence::Cancel() {
  Patience patience = Enter(Phase::kCancelling, budget_.streams);
  if (parts_.traffic.Cancel(patience)) {
    Tell("ServerStopped");
  } else {
    outcome_.abandoned = true;
    TellFailure(ExitCode::kForced, "ServerAbandoned", "",
                absl::StrCat(parts_.traffic.TryCallsRunning(), " calls do not end"));
  }
}

void ShutdownSequence::StopWorkers() {
  Patience patience = Enter(Phase::kWorking, budget_.workers);
  parts_.workers.RequestStop();
  const std::vector<TaskGroup::Left> left = parts_.workers.Join(patience);
  if (left.empty()) Tell("WorkersStopped");
  for (const TaskGroup::Left& worker : left) {
    if (absl::IsDeadlineExceeded(worker.status)) outcome_.abandoned = true;
    TellFailure(ExitCode::kForced, "WorkerFailed", worker.name, worker.status.ToString());
  }
}

void ShutdownSequence::Save() {
  Patience patience = Enter(Phase::kSaving, budget_.save);
  parts_.savers.CloseAll(patience, [this](const ShutdownRegistry::Closed& saved) {
    if (saved.status.ok()) return TellClosed(ExitCode::kClean, "StateSaved", saved);
    TellClosed(ExitCode::kCloseFailed, "SaveFailed", saved);
  });
}

void ShutdownSequence::Close() {
  Patience patience = Enter(Phase::kClosing, budget_.close);
  parts_.registry.CloseAll(patience, [this](const ShutdownRegistry::Closed& closed) {
    if (closed.status.ok()) return TellClosed(ExitCode::kClean, "Closed", closed);
    TellClosed(ExitCode::kCloseFailed, "CloseFailed", closed);
  });
}

Patience ShutdownSequence::Enter(Phase phase, Clock::Duration budget) {
  phase_ = phase;
  observer_.OnPhase(phase, clock_.Now(), budget);
  return Patience(clock_, budget, hurry_);
}

void ShutdownSequence::Tell(std::string name, std::string subject, std::string detail) {
  observer_.OnEvent({std::move(name), std::move(subject), std::move(detail), phase_,
                     /*ok=*/true, clock_.Now()});
}

void ShutdownSequence::TellFailure(ExitCode code, std::string name, std::string subject,
                                   std::string detail) {
  outcome_.exit_code = std::max(outcome_.exit_code, code);
  observer_.OnEvent({std::move(name), std::move(subject), std::move(detail), phase_,
                     /*ok=*/false, clock_.Now()});
}

void ShutdownSequence::TellClosed(ExitCode code, std::string name,
                                  const ShutdownRegistry::Closed& closed) {
  outcome_.exit_code = std::max(outcome_.exit_code, code);
  outcome_.abandoned |= closed.passed_over;
  observer_.OnEvent(EventOf(closed, std::move(name), phase_, clock_.Now()));
}

Event EventOf(const ShutdownRegistry::Closed& closed, std::string name, Phase phase,
              Clock::TimePoint at) {
  return {std::move(name), closed.name,        closed.status.ok() ? "" : closed.status.ToString(),
          phase,           closed.status.ok(), at,
          closed.took,     closed.passed_over};
}

}  // namespace lifecycle
