#include "service/lifecycle/shutdown_budget.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace lifecycle {
namespace {

using Duration = Clock::Duration;

// The smallest share that is not set by hand.
constexpr Duration kLeast = std::chrono::milliseconds(10);
// The smallest reserve, if the grace allows it: a busy machine may be late by this much.
constexpr Duration kReserve = std::chrono::milliseconds(200);
// Anything longer is a mistake, and no sum of such durations overflows.
constexpr Duration kMost = std::chrono::hours(24);

// One share of the grace: its phase and name, its default in 60ths of the grace (half
// seconds of the usual 30 s), where its value is kept, and, if it must not be zero, what
// would then not be done. In the order of the phases.
struct Part {
  Phase phase;
  const char* name;
  int share;
  Duration ShutdownBudget::*budget;
  std::optional<Duration> ShutdownBudget::Overrides::*by_hand;
  const char* must_be = nullptr;
};

constexpr Part kParts[] = {
    {Phase::kLameDuck, "lame_duck", 10, &ShutdownBudget::lame_duck,
     &ShutdownBudget::Overrides::lame_duck},
    {Phase::kDrainingConnections, "drain_connections", 24, &ShutdownBudget::drain_connections,
     &ShutdownBudget::Overrides::drain_connections},
    {Phase::kDrainingCalls, "drain_calls", 10, &ShutdownBudget::drain_calls,
     &ShutdownBudget::Overrides::drain_calls},
    {Phase::kCancellingCalls, "cancel_calls", 4, &ShutdownBudget::cancel_calls,
     &ShutdownBudget::Overrides::cancel_calls},
    {Phase::kStoppingWorkers, "stop_workers", 3, &ShutdownBudget::stop_workers,
     &ShutdownBudget::Overrides::stop_workers},
    {Phase::kSavingState, "save_state", 3, &ShutdownBudget::save_state,
     &ShutdownBudget::Overrides::save_state, "saved"},
    {Phase::kClosingResources, "close_resources", 4, &ShutdownBudget::close_resources,
     &ShutdownBudget::Overrides::close_resources, "closed"},
    {Phase::kStopped, "reserve", 2, &ShutdownBudget::reserve, &ShutdownBudget::Overrides::reserve,
     "reported"},
};

std::string Text(Duration duration) { return absl::FormatDuration(absl::FromChrono(duration)); }

absl::Status BadPart(const char* name, Duration set) {
  return absl::InvalidArgumentError(
      absl::StrCat("the ", name, " budget of ", Text(set), " is ",
                   set < Duration::zero() ? "negative" : "longer than a day"));
}

}  // namespace

absl::StatusOr<ShutdownBudget> ShutdownBudget::Split(Duration grace, const Overrides& by_hand) {
  if (grace < Duration::zero() || grace > kMost) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a termination grace of ", Text(grace), " is ",
        grace < Duration::zero() ? "negative" : absl::StrCat("longer than ", Text(kMost))));
  }
  ShutdownBudget budget;
  budget.grace = grace;
  Duration left = grace;
  int shares = 0;
  std::vector<const Part*> open;
  std::string taken;
  for (const Part& part : kParts) {
    if (const std::optional<Duration>& set = by_hand.*part.by_hand) {
      if (*set < Duration::zero() || *set > kMost) return BadPart(part.name, *set);
      if (part.must_be && *set < kLeast) {
        return absl::InvalidArgumentError(absl::StrCat("the ", part.name, " budget of ", Text(*set),
                                                       " is less than ", Text(kLeast),
                                                       ": nothing would be ", part.must_be));
      }
      budget.*part.budget = *set;
      left -= *set;
      absl::StrAppend(&taken, taken.empty() ? "" : " + ", part.name, " ", Text(*set));
    } else {
      shares += part.share;
      open.push_back(&part);
    }
  }
  const Duration needed = open.size() * kLeast;
  if (left < needed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the shutdown does not fit its termination grace of ", Text(grace), ": ",
        taken.empty() ? "its " : absl::StrCat(taken, " leaves ", Text(left), "; the other "),
        open.size(), " shares need at least ", Text(needed)));
  }
  // Smallest share first: what it gets beyond its share, to reach the minimum, is taken
  // from the larger ones.
  std::stable_sort(open.begin(), open.end(),
                   [](const Part* a, const Part* b) { return a->share < b->share; });
  Duration for_the_others = needed;
  for (const Part* part : open) {
    for_the_others -= kLeast;
    Duration given = std::max(kLeast, left * part->share / shares);
    if (part->phase == Phase::kStopped) {
      given = std::max(given, std::min({kReserve, grace / 6, left - for_the_others}));
    }
    budget.*part->budget = given;
    left -= given;
    shares -= part->share;
  }
  return budget;
}

Duration ShutdownBudget::EndOf(Phase phase) const {
  Duration end = grace;
  for (const Part& part : kParts) {
    if (part.phase > phase) end -= this->*part.budget;
  }
  return end;
}

Duration ShutdownBudget::UntilExit() const {
  const Duration end = watchdog() + reserve / 2;  // Of the grace.
  return end -
         std::min(reserve / 4, std::clamp<Duration>(reserve / 6, std::chrono::milliseconds(20),
                                                    std::chrono::milliseconds(50)));
}

Duration ShutdownBudget::UntilExpired() const {
  return std::min(watchdog(),
                  UntilExit() - std::min<Duration>(reserve / 4, std::chrono::milliseconds(20)));
}

std::string ShutdownBudget::ToString() const {
  std::string text;
  Duration sum{};
  for (const Part& part : kParts) {
    absl::StrAppend(&text, text.empty() ? "" : " + ", part.name, " ", Text(this->*part.budget));
    sum += this->*part.budget;
  }
  absl::StrAppend(&text, " = ", Text(sum));
  return sum == grace ? text : absl::StrCat(text, " of ", Text(grace));
}

}  // namespace lifecycle
