#include "service/lifecycle/shutdown_sequence.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lifecycle {
namespace {

// Longer than any process lives, and no sum with it overflows.
constexpr Clock::Duration kForEver = std::chrono::hours(24 * 365 * 10);

}  // namespace

ShutdownSequence::ShutdownSequence(const StopParts& parts, const StopBudget& budget, Clock& clock,
                                   Observer& observer)
    : parts_(parts), budget_(budget), clock_(clock), observer_(observer) {}

absl::Status ShutdownSequence::Open(Traffic& traffic) {
  traffic_ = &traffic;
  if (NoticeStop()) {
    reason_ = StopReason::kInterrupt;
    return absl::OkStatus();
  }
  return traffic.OpenListener();
}

StopOutcome ShutdownSequence::Run() {
  do {
    Serve();
  } while (!LameDuck());  // Taken back: the one step back there is.
  Leave();
  Drain();
  Cancel();
  StopWorkers();
  Save();
  Close();
  Enter(Phase::kStopped, budget_.reserve);
  Tell("Stopped", "", absl::StrCat("exit code ", static_cast<int>(outcome_.exit_code)));
  return outcome_;
}

StopOutcome ShutdownSequence::RollBack(const absl::Status& why) {
  parts_.drain.EndLameDuck();  // Whoever waits to take one back goes on, and can be closed.
  TellFailure(ExitCode::kCouldNotStart, "CouldNotStart", "", why.ToString());
  StopWorkers();
  Close();
  Enter(Phase::kStopped, budget_.reserve);
  outcome_.exit_code = ExitCode::kCouldNotStart;
  return outcome_;
}

void ShutdownSequence::Serve() {
  if (reason_) return;  // Nobody was let in.
  Enter(Phase::kServing, kForEver);
  Tell("Serving");
  parts_.drain.ServesAgain();
  parts_.request.Wait(parts_.drain.requested());
  if (!NoticeStop()) Tell("DrainRequested");
}

bool ShutdownSequence::LameDuck() {
  if (reason_ == StopReason::kInterrupt) return true;
  const Clock::TimePoint least = clock_.Now() + budget_.least_lame_duck;
  Enter(Phase::kLameDuck, budget_.lame_duck);
  traffic_->EnterLameDuck();
  Tell("LameDuckEntered");
  Patience patience = Until(phase_ends_);
  Until(least).Exhaust();
  traffic_->AwaitQuiet(patience);
  if (!parts_.drain.EndLameDuck()) {
    traffic_->LeaveLameDuck();
    return false;
  }
  // Only now: a stop that comes before it has passed has cut the least short, and is noticed.
  if (!reason_ && NoticeStop() && reason_ != StopReason::kInterrupt) Until(least).Exhaust();
  return true;
}

void ShutdownSequence::Leave() {
  Enter(Phase::kLeaving, reason_ ? budget_.connections : kForEver);
  Patience for_goodbye(clock_, budget_.connections, parts_.request.hurry());
  traffic_->CloseListener();
  const std::int64_t hinted = traffic_->Look().hinted;
  Tell("ListenerClosed", "", hinted > 0 ? absl::StrCat(hinted, " calls hinted") : "");
  const int streams = traffic_->SayGoodbye(for_goodbye);
  Tell("GoodbyeSaid", "", absl::StrCat(streams, " streams"));
  if (!reason_) StayDrained();
  if (reason_ == StopReason::kInterrupt) return;
  Patience patience = Until(phase_ends_);
  if (traffic_->AwaitConnectionsGone(patience)) {
    Tell("ConnectionsGone");
  } else {
    // No failure: calls that cross the shutdown on them may be, but nothing is
    // known to be lost.
    Tell("ConnectionsLeft");
  }
}

void ShutdownSequence::StayDrained() {
  Patience for_ever = Until(phase_ends_);
  if (traffic_->AwaitConnectionsGone(for_ever)) {
    drained_ = true;
    Tell("Drained");
  }
  parts_.request.Wait();
  NoticeStop();
  phase_ends_ = parts_.request.requested_at() + budget_.connections;
}

void ShutdownSequence::Drain() {
  Patience patience = Enter(Phase::kDraining, budget_.calls);
  traffic_->BeginShutdown(patience.deadline());
  Tell("ShutdownBegun");
  const int running = traffic_->AwaitCallsFinished(patience);
  if (running == 0) {
    Tell("CallsFinished");
  } else {
    TellFailure(ExitCode::kForced, "CallsCut", "", absl::StrCat(running, " calls still ran"));
  }
}

void ShutdownSequence::Cancel() {
  Patience patience = Enter(Phase::kCancelling, budget_.streams);
  if (traffic_->Cancel(patience)) {
    Tell("ServerStopped");
  } else {
    outcome_.abandoned = true;
    TellFailure(ExitCode::kForced, "ServerAbandoned", "",
                absl::StrCat(traffic_->TryCallsRunning(), " calls do not end"));
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

bool ShutdownSequence::NoticeStop() {
  if (reason_) return true;
  reason_ = parts_.request.reason();
  if (!reason_) return false;
  parts_.drain.EndLameDuck();  // Whoever waits to take it back is told that there is a stop.
  const std::string why = parts_.request.why();
  observer_.OnEvent(
      {"StopRequested", "",
       absl::StrCat(ReasonName(*reason_), why.empty() ? "" : ": ", why, ", ", budget_.ToString()),
       phase_, true, parts_.request.requested_at()});
  return true;
}

std::optional<Clock::TimePoint> ShutdownSequence::phase_ends() const {
  const Clock::TimePoint ends = phase_ends_;
  if (ends - clock_.Now() > kForEver / 2) return std::nullopt;
  return ends;
}

Patience ShutdownSequence::Enter(Phase phase, Clock::Duration budget) {
  phase_ = phase;
  phase_ends_ = clock_.Now() + budget;
  observer_.OnPhase(phase, clock_.Now(), budget < kForEver ? std::optional(budget) : std::nullopt);
  return Patience(clock_, budget, parts_.request.hurry());
}

Patience ShutdownSequence::Until(Clock::TimePoint end) {
  const Clock::Duration left = end - clock_.Now();
  if (reason_) return Patience(clock_, left, parts_.request.hurry());
  return Patience(clock_, left, parts_.drain.interrupted(), Clock::Duration::zero());
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
  const absl::Status& status = closed.status;
  observer_.OnEvent({std::move(name), closed.name, status.ok() ? "" : status.ToString(), phase_,
                     status.ok(), clock_.Now(), closed.took, closed.passed_over});
}

}  // namespace lifecycle
