#include "service/lifecycle/shutdown_sequence.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lifecycle {
namespace {

// Longer than any process lives, and no sum with it overflows.
constexpr Clock::Duration kForEver = std::chrono::hours(24 * 365 * 10);
constexpr Clock::TimePoint kNever = Clock::TimePoint::max();

std::string InWords(const Traffic::Unfinished& left) {
  std::vector<std::string> parts;
  if (left.calls > 0) parts.push_back(absl::StrCat(left.calls, " calls still ran"));
  if (left.requests > 0) {
    parts.push_back(absl::StrCat(left.requests, " requests were still arriving"));
  }
  if (left.answers > 0) {
    parts.push_back(absl::StrCat("answers on ", left.answers, " connections had not left"));
  }
  return absl::StrJoin(parts, ", ");
}

// Calls that did not end as their handlers meant them to.
std::int64_t NotFinished(const CallTally& tally) {
  std::int64_t sum = 0;
  for (const CallTally::Method& each : tally.methods) sum += each.cancelled + each.left;
  return sum;
}

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
  Enter(Phase::kStopped);
  Tell("Stopped", "", absl::StrCat("exit code ", static_cast<int>(outcome_.exit_code)));
  return outcome_;
}

StopOutcome ShutdownSequence::RollBack(const absl::Status& why) {
  reason_ = parts_.request.reason();
  parts_.drain.EndLameDuck();  // Whoever waits to take one back goes on, and can be closed.
  TellFailure(ExitCode::kCouldNotStart, "CouldNotStart", "", why.ToString());
  StopWorkers();
  Close();
  Enter(Phase::kStopped);
  outcome_.exit_code = ExitCode::kCouldNotStart;
  return outcome_;
}

void ShutdownSequence::Serve() {
  if (reason_) return;  // Nobody was let in.
  Enter(Phase::kServing);
  Tell("Serving");
  parts_.drain.ServesAgain();
  parts_.drain.AwaitRequest();
  if (!NoticeStop()) Tell("DrainRequested");
}

bool ShutdownSequence::LameDuck() {
  if (reason_ == StopReason::kInterrupt) return true;
  const Clock::TimePoint end = std::min(clock_.Now() + budget_.lame_duck, EndOf(Phase::kLameDuck));
  Enter(Phase::kLameDuck, end);
  traffic_->EnterLameDuck();
  Tell("LameDuckEntered");
  if (!reason_) parts_.drain.AwaitUndo(clock_, end);
  if (!parts_.drain.EndLameDuck()) {
    traffic_->LeaveLameDuck();
    return false;
  }
  // A stop does not cut it short, unless a person wants it.
  if (NoticeStop() && reason_ != StopReason::kInterrupt) Until(end).Exhaust();
  return true;
}

void ShutdownSequence::Leave() {
  Enter(Phase::kLeaving);
  traffic_->CloseListener();
  const std::int64_t hinted = traffic_->Look().hinted;
  Tell("ListenerClosed", "", hinted > 0 ? absl::StrCat(hinted, " calls hinted") : "");
  Patience for_goodbye =
      Until(reason_ ? EndOf(Phase::kLeaving) : clock_.Now() + budget_.connections);
  const int streams = traffic_->SayGoodbye(for_goodbye);
  Tell("GoodbyeSaid", "", absl::StrCat(streams, " streams"));
  if (!reason_) StayDrained();
  Patience patience = Until(phase_ends_);
  const Traffic::Departure left = traffic_->AwaitConnectionsGone(patience);
  if (left == Traffic::Departure::kGone) return Tell("ConnectionsGone");
  // No failure: they carry nothing, or what they carry is waited for in the next phase.
  Tell("ConnectionsLeft", "", left == Traffic::Departure::kSilent ? "silent" : "busy");
}

void ShutdownSequence::StayDrained() {
  Patience until_a_stop(clock_, kForEver, parts_.request.requested(), Clock::Duration::zero());
  if (traffic_->AwaitConnectionsGone(until_a_stop) != Traffic::Departure::kBusy) {
    Tell("Drained");
    drained_ = true;
  }
  parts_.request.Wait();
  NoticeStop();
  phase_ends_ = EndOf(Phase::kLeaving);
}

void ShutdownSequence::Drain() {
  Patience patience = Enter(Phase::kDraining);
  traffic_->BeginShutdown();
  Tell("ShutdownBegun");
  const Traffic::Unfinished left = traffic_->AwaitCallsFinished(patience);
  if (!left.any()) return Tell("CallsFinished");
  TellFailure(ExitCode::kForced, "CallsCut", "", InWords(left));
}

void ShutdownSequence::Cancel() {
  Patience patience = Enter(Phase::kCancelling);
  const std::int64_t before = NotFinished(traffic_->TryTally());
  if (traffic_->Cancel(patience)) {
    // One may have come when all that were known had finished.
    const std::int64_t cut = NotFinished(traffic_->TryTally()) - before;
    if (cut <= 0 || outcome_.exit_code >= ExitCode::kForced) return Tell("ServerStopped");
    TellFailure(ExitCode::kForced, "ServerStopped", "", absl::StrCat(cut, " calls were cut"));
  } else {
    outcome_.abandoned = true;
    TellFailure(ExitCode::kForced, "ServerAbandoned", "",
                absl::StrCat(traffic_->TryCallsRunning(), " calls do not end"));
  }
}

void ShutdownSequence::StopWorkers() {
  Patience patience = Enter(Phase::kWorking);
  parts_.workers.RequestStop();
  const std::vector<TaskGroup::Left> left = parts_.workers.Join(patience);
  if (left.empty()) Tell("WorkersStopped");
  for (const TaskGroup::Left& worker : left) {
    if (absl::IsDeadlineExceeded(worker.status)) outcome_.abandoned = true;
    TellFailure(ExitCode::kForced, "WorkerFailed", worker.name, worker.status.ToString());
  }
}

void ShutdownSequence::Save() {
  Patience patience = Enter(Phase::kSaving);
  parts_.savers.CloseAll(patience, [this](const ShutdownRegistry::Closed& saved) {
    if (saved.status.ok()) return TellClosed(ExitCode::kClean, "StateSaved", saved);
    TellClosed(ExitCode::kCloseFailed, "SaveFailed", saved);
  });
}

void ShutdownSequence::Close() {
  Patience patience = Enter(Phase::kClosing);
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
  if (ends == kNever) return std::nullopt;
  return ends;
}

Patience ShutdownSequence::Enter(Phase phase, Clock::TimePoint end) {
  const Clock::TimePoint now = clock_.Now();
  phase_ = phase;
  phase_ends_ = end;
  observer_.OnPhase(phase, now, end == kNever ? std::nullopt : std::optional(end - now));
  return Until(end);
}

Clock::TimePoint ShutdownSequence::EndOf(Phase phase) const {
  return reason_ ? parts_.request.requested_at() + budget_.EndOf(phase) : kNever;
}

Patience ShutdownSequence::Until(Clock::TimePoint end) {
  return Patience(clock_, end == kNever ? kForEver : end - clock_.Now(), parts_.request.hurry());
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
