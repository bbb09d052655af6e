#include "service/lifecycle/stop_budget.h"

#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace lifecycle {
namespace {

using Duration = Clock::Duration;

constexpr Duration kLeast = std::chrono::milliseconds(10);

// One part of the grace: its name, its share when nothing is set by hand, and
// where it is kept. The shares are in 60ths: half seconds of the usual 30 s.
struct Part {
  const char* name;
  int share;
  Duration StopBudget::*budget;
  std::optional<Duration> StopBudget::Overrides::*by_hand;
};

constexpr Part kParts[] = {
    {"lame_duck", 10, &StopBudget::lame_duck, &StopBudget::Overrides::lame_duck},
    {"connections", 24, &StopBudget::connections, &StopBudget::Overrides::connections},
    {"calls", 10, &StopBudget::calls, &StopBudget::Overrides::calls},
    {"streams", 4, &StopBudget::streams, &StopBudget::Overrides::streams},
    {"workers", 3, &StopBudget::workers, &StopBudget::Overrides::workers},
    {"save", 3, &StopBudget::save, &StopBudget::Overrides::save},
    {"close", 4, &StopBudget::close, &StopBudget::Overrides::close},
    {"reserve", 2, &StopBudget::reserve, &StopBudget::Overrides::reserve},
};

std::string Text(Duration duration) { return absl::FormatDuration(absl::FromChrono(duration)); }

}  // namespace

absl::StatusOr<StopBudget> StopBudget::Split(Duration grace, const Overrides& by_hand) {
  StopBudget budget;
  budget.grace = grace;
  Duration left = grace;
  int shares = 0;
  int open_parts = 0;
  std::string taken;
  for (const Part& part : kParts) {
    if (const std::optional<Duration>& set = by_hand.*part.by_hand) {
      if (*set < Duration::zero()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the ", part.name, " budget of ", Text(*set), " is negative"));
      }
      budget.*part.budget = *set;
      left -= *set;
      absl::StrAppend(&taken, taken.empty() ? "" : " + ", part.name, " ", Text(*set));
    } else {
      shares += part.share;
      ++open_parts;
    }
  }
  if (left < open_parts * kLeast) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the stop does not fit its termination grace of ", Text(grace), ": ",
        taken.empty() ? "nothing" : taken, " set by hand leaves ", Text(left), " for the other ",
        open_parts, " parts, which need ", Text(open_parts * kLeast), " at least"));
  }
  const Duration to_share = left;
  for (const Part& part : kParts) {
    if (by_hand.*part.by_hand) continue;
    const Duration fair = to_share * part.share / shares;
    budget.*part.budget = fair < kLeast ? kLeast : fair;
    left -= budget.*part.budget;
  }
  // What rounding and the least parts moved comes from, or goes to, the largest
  // part that is not set by hand.
  const Part* largest = nullptr;
  for (const Part& part : kParts) {
    if (by_hand.*part.by_hand) continue;
    if (largest == nullptr || budget.*part.budget > budget.*largest->budget) largest = &part;
  }
  if (largest != nullptr) budget.*largest->budget += left;
  budget.least_lame_duck = by_hand.least_lame_duck.value_or(budget.lame_duck / 5);
  if (budget.least_lame_duck > budget.lame_duck) {
    return absl::InvalidArgumentError(
        absl::StrCat("the least lame duck of ", Text(budget.least_lame_duck),
                     " is longer than the lame duck of ", Text(budget.lame_duck)));
  }
  return budget;
}

std::string StopBudget::ToString() const {
  std::string text;
  for (const Part& part : kParts) {
    absl::StrAppend(&text, text.empty() ? "" : " + ", part.name, " ", Text(this->*part.budget));
  }
  return absl::StrCat(text, " = ", Text(grace));
}

}  // namespace lifecycle
