#include "service/lifecycle/exit_reporter.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "service/lifecycle/last_resort/last_words.h"

namespace lifecycle {
namespace {

[[noreturn]] void ExitAtOnce(ExitCode code) { _exit(static_cast<int>(code)); }

}  // namespace

ExitReporter::ExitReporter(const ShutdownBudget& budget, const ShutdownRequest& request,
                           Clock& clock, Observer& observer)
    : budget_(budget), request_(request), clock_(clock), observer_(observer) {}

void ExitReporter::Serves(const Traffic& traffic) {
  traffic_ = &traffic;
  start_ = nullptr;
}

void ExitReporter::CouldNotStart() { start_ = "could not start"; }

int ExitReporter::Return(ExitCode code, std::string why, bool abandoned) {
  BeginTelling();
  Emit(code, std::move(why));
  traffic_ = nullptr;  // Main is about to destroy it.
  if (abandoned) ExitAtOnce(code);
  EndTelling();
  return static_cast<int>(code);
}

void ExitReporter::Leave(ExitCode code, std::string why) {
  // An observer has a quarter of the reserve.
  if (BeginTelling(budget_.reserve / 4 + std::chrono::milliseconds(100))) {
    Emit(code, std::move(why));
  } else {
    WriteLastWords({"no report of this end (", why, "): the one before is still being written"});
  }
  // Keeps exclusive access until the very end, so that nobody reports another end.
  ExitAtOnce(code);
}

bool ExitReporter::BeginTelling(std::optional<Clock::Duration> limit) {
  std::unique_lock lock(mutex_);
  const auto free = [this] { return !telling_; };
  if (!limit) {
    ended_.wait(lock, free);
  } else if (!ended_.wait_for(lock, *limit, free)) {
    return false;
  }
  telling_ = true;
  return true;
}

void ExitReporter::EndTelling() {
  std::lock_guard lock(mutex_);
  telling_ = false;
  ended_.notify_all();
}

void ExitReporter::Emit(ExitCode code, std::string why) {
  if (const Traffic* traffic = traffic_) tally_ = traffic->TryTally();
  const char* const start = start_;
  const std::optional<ShutdownReason> reason = request_.reason();
  const Clock::TimePoint now = clock_.Now();
  observer_.OnEnd(
      {.exit_code = code,
       .reason = start != nullptr ? start : ReasonName(reason.value_or(ShutdownReason::kFailure)),
       .why = std::move(why),
       .expedited = request_.expedited().stop_requested(),
       .requested_at = reason ? request_.requested_at() : now,
       .at = now,
       .budget = budget_,
       .calls = tally_});
}

}  // namespace lifecycle
