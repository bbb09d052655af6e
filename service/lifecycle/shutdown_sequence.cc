#include "service/lifecycle/shutdown_sequence.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lifecycle {
namespace {

constexpr Clock::TimePoint kNever = Clock::TimePoint::max();

// Which calls run, " (2 /a.B/C)", as far as that is known.
std::string Which(const Traffic& traffic) {
  const std::string running = RunningCalls(traffic.TryTally());
  return running.empty() ? "" : absl::StrCat(" (", running, ")");
}

std::string InWords(const Traffic::Unfinished& left, const Traffic& traffic) {
  std::vector<std::string> parts;
  if (left.calls > 0) {
    parts.push_back(absl::StrCat(left.calls, " calls still ran", Which(traffic)));
  }
  if (left.requests > 0) {
    parts.push_back(absl::StrCat(left.requests, " requests were still arriving"));
  }
  if (left.answers > 0) {
    parts.push_back(absl::StrCat("answers on ", left.answers, " connections had not left"));
  }
  return absl::StrJoin(parts, ", ");
}

// Calls that did not end as their handlers intended.
std::int64_t Cancelled(const CallTally& tally) {
  std::int64_t sum = 0;
  for (const CallTally::Method& each : tally.methods) sum += each.cancelled;
  return sum;
}

}  // namespace

ShutdownSequence::ShutdownSequence(const ShutdownParts& parts, const ShutdownBudget& budget,
                                   Clock& clock, Observer& observer)
    : parts_(parts), budget_(budget), clock_(clock), observer_(observer) {}

absl::Status ShutdownSequence::Open(Traffic& traffic) {
  traffic_ = &traffic;
  if (NoticeShutdown()) {
    reason_ = ShutdownReason::kInterrupt;
    return absl::OkStatus();
  }
  return traffic.Open();
}

ShutdownOutcome ShutdownSequence::Run() {
  do {
    Serve();
  } while (!LameDuck());  // The drain was undone: the only step back.
  DrainConnections();
  DrainCalls();
  CancelCalls();
  StopWorkers();
  SaveState();
  CloseResources();
  Enter(Phase::kStopped);
  Emit(EventType::kStopped, "", absl::StrCat("exit code ", static_cast<int>(outcome_.exit_code)));
  return outcome_;
}

ShutdownOutcome ShutdownSequence::RollBack(const absl::Status& why) {
  reason_ = parts_.request.reason();
  parts_.drain.EndLameDuck();  // Releases a waiting Undo(), so that its server can be closed.
  Emit(EventType::kCouldNotStart, "", why.ToString());
  StopWorkers();
  CloseResources();
  Enter(Phase::kStopped);
  outcome_.exit_code = ExitCode::kCouldNotStart;
  return outcome_;
}

void ShutdownSequence::Serve() {
  if (reason_) return;  // Nobody was let in.
  Enter(Phase::kServing);
  Emit(EventType::kServing);
  parts_.drain.ServesAgain();
  parts_.drain.AwaitRequest();
  if (!NoticeShutdown()) Emit(EventType::kManualDrainRequested);
}

bool ShutdownSequence::LameDuck() {
  if (reason_ && SkipsLameDuck(*reason_)) return true;
  const Clock::TimePoint end = std::min(clock_.Now() + budget_.lame_duck, EndOf(Phase::kLameDuck));
  Enter(Phase::kLameDuck, end);
  traffic_->EnterLameDuck();
  Emit(EventType::kLameDuckEntered);
  if (!reason_) parts_.drain.AwaitUndo(clock_, end);
  if (!parts_.drain.EndLameDuck()) {
    traffic_->LeaveLameDuck();
    return false;
  }
  const bool requested_meanwhile = !reason_ && NoticeShutdown();
  // A shutdown does not cut it short, but an interrupt or a handover does.
  if (!reason_ || SkipsLameDuck(*reason_)) return true;
  if (requested_meanwhile) Limit(end);
  Until(end).Exhaust();
  return true;
}

void ShutdownSequence::DrainConnections() {
  Enter(Phase::kDrainingConnections);
  traffic_->CloseListener();
  const Traffic::Load load = traffic_->Look();
  Emit(EventType::kListenerClosed, "",
       load.hinted > 0 ? absl::StrCat(load.hinted, " calls hinted") : "");
  if (!reason_) traffic_->WarnIfCallersWait();
  Patience for_goodbye = Until(reason_ ? EndOf(Phase::kDrainingConnections)
                                       : clock_.Now() + budget_.drain_connections);
  traffic_->SayGoodbye(for_goodbye, load.streams);
  Emit(EventType::kGoodbyeSaid, "", absl::StrCat(load.streams, " streams"));
  if (!reason_) StayDrained();
  Patience patience = Until(phase_ends_);
  Traffic::Departure left = Traffic::Departure::kBusy;
  patience.Poll([&] {
    left = traffic_->AwaitConnectionsGone(patience);
    return traffic_->CloseSilent();
  });
  if (left == Traffic::Departure::kGone) return Emit(EventType::kConnectionsGone);
  // Not a failure: they carry nothing, or the next phase waits for what they carry.
  Emit(EventType::kConnectionsRemain, "", left == Traffic::Departure::kSilent ? "silent" : "busy");
}

void ShutdownSequence::StayDrained() {
  Patience until_a_stop(clock_, Clock::Duration::max(), parts_.request.requested(),
                        Clock::Duration::zero());
  const Traffic::Departure left = traffic_->AwaitConnectionsGone(until_a_stop);
  if (left == Traffic::Departure::kGone || left == Traffic::Departure::kSilent) {
    Emit(EventType::kDrained);
    drained_ = true;
  }
  parts_.request.Wait();
  NoticeShutdown();
  Limit(EndOf(Phase::kDrainingConnections));
}

void ShutdownSequence::DrainCalls() {
  Patience patience = Enter(Phase::kDrainingCalls);
  traffic_->BeginShutdown();
  Emit(EventType::kNewCallsRefused);
  const Traffic::Unfinished left = traffic_->AwaitCallsFinished(patience);
  if (!left.any()) return Emit(EventType::kCallsFinished);
  Emit(EventType::kCallsCut, "", InWords(left, *traffic_));
}

void ShutdownSequence::CancelCalls() {
  Patience patience = Enter(Phase::kCancellingCalls);
  const std::int64_t before = Cancelled(traffic_->TryTally());
  if (traffic_->Cancel(patience)) {
    // A call may have arrived after all known ones had finished.
    const std::int64_t cut = Cancelled(traffic_->TryTally()) - before;
    if (cut > 0 && outcome_.exit_code < ExitCode::kForced) {
      Emit(EventType::kLateCallsCut, "", absl::StrCat(cut, " calls"));
    }
    Emit(EventType::kServerStopped);
  } else {
    outcome_.abandoned = true;
    Emit(EventType::kServerAbandoned, "",
         absl::StrCat(traffic_->TryCallsRunning(), " calls did not end", Which(*traffic_)));
  }
}

void ShutdownSequence::StopWorkers() {
  Patience patience = Enter(Phase::kStoppingWorkers);
  parts_.workers.RequestStop();
  const std::vector<TaskGroup::Left> left = parts_.workers.Join(patience);
  if (left.empty()) Emit(EventType::kWorkersStopped);
  for (const TaskGroup::Left& worker : left) {
    if (absl::IsDeadlineExceeded(worker.status)) outcome_.abandoned = true;
    Emit(EventType::kWorkerFailed, worker.name, worker.status.ToString());
  }
}

void ShutdownSequence::SaveState() {
  Patience patience = Enter(Phase::kSavingState);
  parts_.savers.CloseAll(patience, [this](const ShutdownRegistry::Closed& saved) {
    EmitClosed(EventType::kStateSaved, EventType::kSaveFailed, saved);
  });
}

void ShutdownSequence::CloseResources() {
  Patience patience = Enter(Phase::kClosingResources);
  parts_.registry.CloseAll(patience, [this](const ShutdownRegistry::Closed& closed) {
    EmitClosed(EventType::kClosed, EventType::kCloseFailed, closed);
  });
  // Of work that was queued where it is finished only now.
  for (const TaskGroup::Left& work : parts_.workers.LateFailures()) {
    Emit(EventType::kWorkerFailed, work.name, work.status.ToString());
  }
}

bool ShutdownSequence::NoticeShutdown() {
  if (reason_) return true;
  reason_ = parts_.request.reason();
  if (!reason_) return false;
  parts_.drain.EndLameDuck();  // A waiting Undo() fails because of the shutdown.
  const std::string why = parts_.request.why();
  Emit({EventType::kShutdownRequested, "",
        absl::StrCat(ReasonName(*reason_), why.empty() ? "" : ": ", why, ", ", budget_.ToString()),
        phase_, parts_.request.requested_at()});
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
  observer_.OnPhase(
      phase, now,
      end == kNever ? std::nullopt : std::optional(std::max(end - now, Clock::Duration::zero())));
  return Until(end);
}

void ShutdownSequence::Limit(Clock::TimePoint end) {
  const Clock::TimePoint now = clock_.Now();
  phase_ends_ = end;
  observer_.OnPhaseLimit(now, std::max(end - now, Clock::Duration::zero()));
}

Clock::TimePoint ShutdownSequence::EndOf(Phase phase) const {
  return reason_ ? parts_.request.requested_at() + budget_.EndOf(phase) : kNever;
}

Patience ShutdownSequence::Until(Clock::TimePoint end) {
  return Patience(clock_, end - clock_.Now(), parts_.request.expedited());
}

void ShutdownSequence::Emit(EventType type, std::string subject, std::string detail) {
  Emit({type, std::move(subject), std::move(detail), phase_, clock_.Now()});
}

void ShutdownSequence::EmitClosed(EventType ok, EventType failed,
                                  const ShutdownRegistry::Closed& closed) {
  outcome_.abandoned |= closed.passed_over;
  const bool is_ok = closed.status.ok();
  Emit({is_ok ? ok : failed, closed.name, is_ok ? "" : closed.status.ToString(), phase_,
        clock_.Now(), closed.took, closed.passed_over});
}

void ShutdownSequence::Emit(const Event& event) {
  outcome_.exit_code = std::max(outcome_.exit_code, RowOf(event.type).exit_code);
  observer_.OnEvent(event);
}

}  // namespace lifecycle
