#include "service/observability/shutdown_report.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/json_util.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/last_resort/utf8.h"
#include "service/lifecycle/phase.h"
#include "service/observability/utc_time.h"

namespace observability {
namespace {

using lifecycle::Clock;
using lifecycle::End;
using lifecycle::Event;
using lifecycle::EventType;
using lifecycle::ExitCode;
using lifecycle::Phase;
using lifecycle::ValidUtf8;

std::chrono::milliseconds Floor(Clock::Duration duration) {
  return std::chrono::floor<std::chrono::milliseconds>(duration);
}

// What does not fit, weeks away, is as far away as fits.
std::int32_t SignedMilliseconds(Clock::Duration duration) {
  return static_cast<std::int32_t>(
      std::clamp<std::int64_t>(Floor(duration).count(), INT32_MIN, INT32_MAX));
}

std::uint32_t Milliseconds(Clock::Duration duration) {
  return static_cast<std::uint32_t>(std::max(SignedMilliseconds(duration), 0));
}

// What of it is not told by numbers.
std::string Why(const End& end, const std::vector<Event>& events) {
  std::vector<std::string> reasons;
  if (!end.why.empty()) reasons.push_back(end.why);
  for (const Event& event : events) {
    if (event.ok() || event.type == EventType::kCouldNotStart) continue;
    std::string reason = event.name();
    if (!event.subject.empty()) absl::StrAppend(&reason, " ", event.subject);
    if (!event.detail.empty()) absl::StrAppend(&reason, ": ", event.detail);
    reasons.push_back(reason);
  }
  if (!reasons.empty()) return absl::StrJoin(reasons, "; ");
  return "every accepted call was finished and every resource closed";
}

void SetCalls(const lifecycle::CallTally& tally, report::v1::ShutdownReport& report) {
  std::int64_t finished = 0;
  std::int64_t cancelled = 0;
  std::int64_t left = 0;
  for (const lifecycle::CallTally::Method& each : tally.methods) {
    report::v1::MethodCalls& method = *report.mutable_calls()->add_methods();
    method.set_method(each.name.empty() ? "others" : ValidUtf8(each.name));
    method.set_finished(static_cast<std::uint32_t>(each.finished));
    method.set_cancelled(static_cast<std::uint32_t>(each.cancelled));
    method.set_left(static_cast<std::uint32_t>(each.left));
    finished += each.finished;
    cancelled += each.cancelled;
    left += each.left;
  }
  report.mutable_calls()->set_finished(static_cast<std::uint32_t>(finished));
  report.mutable_calls()->set_cancelled(static_cast<std::uint32_t>(cancelled));
  report.mutable_calls()->set_left(static_cast<std::uint32_t>(left));
  report.mutable_streams()->set_ended(static_cast<std::uint32_t>(tally.streams_ended));
  report.mutable_streams()->set_cut(static_cast<std::uint32_t>(tally.streams_cut));
}

void SetEvent(const Event& event, std::int32_t at_ms, report::v1::ShutdownReport& report) {
  report::v1::Event& told = *report.add_events();
  told.set_at_ms(at_ms);
  told.set_phase(lifecycle::PhaseName(event.phase));
  told.set_name(event.name());
  if (!event.subject.empty()) told.set_subject(ValidUtf8(event.subject));
  if (!event.detail.empty()) told.set_detail(ValidUtf8(event.detail));
  told.set_ok(event.ok());

  const bool saved = event.type == EventType::kStateSaved || event.type == EventType::kSaveFailed;
  const bool closed = event.type == EventType::kClosed || event.type == EventType::kCloseFailed;
  if (!saved && !closed) return;
  report::v1::Closer& closer = saved ? *report.add_savers() : *report.add_closers();
  closer.set_name(ValidUtf8(event.subject));
  closer.set_took_ms(Milliseconds(event.took));
  // Nothing is closed before the request.
  const std::uint32_t end_ms = static_cast<std::uint32_t>(std::max(at_ms, 0));
  closer.set_start_ms(end_ms - std::min(end_ms, closer.took_ms()));
  const char* const done = saved ? "saved" : "closed";
  closer.set_result(event.ok() ? done : event.passed_over ? "hung" : "failed");
  if (!event.detail.empty()) closer.set_detail(ValidUtf8(event.detail));
}

}  // namespace

void ShutdownRecord::OnEvent(const Event& event) {
  if (event.type == EventType::kServing) {
    events_.clear();
  } else {
    events_.push_back(event);
  }
}

void ShutdownRecord::OnPhase(Phase phase, Clock::TimePoint at,
                             std::optional<Clock::Duration> budget) {
  if (phase == Phase::kServing) {
    phases_.clear();
  } else {
    phases_.push_back({phase, at, budget});
  }
}

report::v1::ShutdownReport ShutdownRecord::Report(const std::string& program, const End& end,
                                                  std::int64_t log_lines_lost) const {
  const auto since = [&](Clock::TimePoint at) { return SignedMilliseconds(at - end.requested_at); };
  report::v1::ShutdownReport report;
  report.set_version(2);
  report.set_program(ValidUtf8(program));
  report.set_reason(end.reason);
  report.set_expedited(end.expedited);
  report.set_requested_at(UtcTime(
      std::chrono::system_clock::now() - (Clock::Steady().Now() - end.requested_at), /*digits=*/3));
  report.set_took_ms(Milliseconds(end.at - end.requested_at));
  report.set_grace_ms(Milliseconds(end.budget.grace));
  for (std::size_t i = 0; i < phases_.size(); ++i) {
    const bool last = i + 1 == phases_.size();
    const Clock::TimePoint ended_at = last ? end.at : phases_[i + 1].at;
    const Phase name = phases_[i].phase;
    report::v1::Phase& phase = *report.add_phases();
    phase.set_name(lifecycle::PhaseName(name));
    phase.set_start_ms(since(phases_[i].at));
    // So that it ends where the next one starts.
    phase.set_took_ms(
        Milliseconds(Floor(ended_at - end.requested_at) - Floor(phases_[i].at - end.requested_at)));
    if (const auto budget = phases_[i].budget) phase.set_budget_ms(Milliseconds(*budget));
    phase.set_ended(
        // These end a process wherever it is.
        !last || (end.exit_code != ExitCode::kWatchdog && end.exit_code != ExitCode::kThirdSignal &&
                  end.exit_code != ExitCode::kBug));
    phase.set_forced(!phase.ended() ||
                     std::any_of(events_.begin(), events_.end(), [&](const Event& event) {
                       return event.phase == name && !event.ok();
                     }));
  }
  SetCalls(end.calls, report);
  for (const Event& event : events_) SetEvent(event, since(event.at), report);
  report.set_log_lines_lost(static_cast<std::uint32_t>(log_lines_lost));
  report.set_exit_code(static_cast<std::uint32_t>(end.exit_code));
  report.set_why(ValidUtf8(Why(end, events_)));
  return report;
}

std::string ToJson(const report::v1::ShutdownReport& report) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(report, &json, options).ok()) return "{}";
  return json;
}

}  // namespace observability
