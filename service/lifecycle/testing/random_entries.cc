#include "service/lifecycle/testing/random_entries.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

enum class Kind { kReturns, kFails, kThrows, kHangs, kExpedites };

// Half of all simply return.
constexpr Kind kKinds[] = {Kind::kReturns, Kind::kReturns, Kind::kReturns,  Kind::kReturns,
                           Kind::kReturns, Kind::kReturns, Kind::kFails,    Kind::kThrows,
                           Kind::kHangs,   Kind::kHangs,   Kind::kExpedites};

struct Entry {
  Kind kind;
  Clock::Duration takes;  // Until it does as its kind says.
  Clock::Duration limit;
  std::vector<std::size_t> uses{};

  int calls = 0;
  Clock::TimePoint begun_at{};
  Clock::TimePoint deadline{};
  bool told = false;  // Closed or passed over.
  bool left = false;  // Passed over.
  bool returned = false;
};

}  // namespace

struct RandomEntries::Entries {
  const std::string who;
  const std::shared_ptr<Simulation> simulation;
  const Options options;
  std::mutex mutex{};
  std::vector<Entry> all{};  // Guarded by mutex.

  std::string Name(std::size_t index) const { return who + ", " + std::to_string(index); }

  // Requires mutex.
  bool UsersTold(std::size_t index) const {
    return std::none_of(all.begin(), all.end(), [index](const Entry& user) {
      return !user.told && std::count(user.uses.begin(), user.uses.end(), index) > 0;
    });
  }

  absl::Status Close(std::size_t index, Clock::TimePoint deadline);

  // What counts for the simulation until the registry has noticed that it is over.
  struct Running {
    Entries& entries;
    const std::size_t index;
    ~Running() {
      std::lock_guard lock(entries.mutex);
      Entry& entry = entries.all[index];
      entry.returned = true;
      if (entry.left) entries.simulation->End();
    }
  };
};

absl::Status RandomEntries::Entries::Close(std::size_t index, Clock::TimePoint deadline) {
  simulation->Begin();
  const Running running{*this, index};
  std::unique_lock lock(mutex);
  Entry& entry = all[index];
  ++entry.calls;
  entry.begun_at = simulation->clock().Now();
  entry.deadline = deadline;
  EXPECT_TRUE(UsersTold(index)) << Name(index) << " is closed while it is used";
  EXPECT_GT(deadline, entry.begun_at) << Name(index) << " has no turn";
  EXPECT_LE(deadline, entry.begun_at + entry.limit) << Name(index);
  const Kind kind = entry.kind;
  const Clock::Duration takes = entry.takes;
  lock.unlock();
  options.on_begun();
  if (!(kind == Kind::kHangs ? simulation->Hang() : simulation->Pause(takes))) {
    return absl::OkStatus();
  }
  if (kind == Kind::kThrows) throw std::runtime_error("thrown");
  if (kind == Kind::kFails) return absl::DataLossError("failed");
  if (kind == Kind::kExpedites) options.expedite();
  return absl::OkStatus();
}

RandomEntries::RandomEntries(std::string who, std::mt19937& random,
                             std::shared_ptr<Simulation> simulation, ShutdownRegistry& registry,
                             Options options)
    : entries_(new Entries{std::move(who), std::move(simulation), std::move(options)}) {
  std::vector<ShutdownRegistry::Handle> handles;
  const auto pick = [&random](std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random);
  };
  const std::size_t count = pick(0, entries_->options.most);
  for (std::size_t index = 0; index < count; ++index) {
    const Kind kind = kKinds[pick(0, std::size(kKinds) - 1)];
    const bool at_once = pick(0, 1) == 0;
    const milliseconds takes(pick(1, 800));
    const milliseconds limit(pick(1, 2000));
    Entry entry{kind, at_once ? milliseconds(0) : takes, limit};
    ShutdownRegistry::Options of_entry{.limit = entry.limit};
    if (entries_->options.use_each_other && pick(0, 4) == 0) {
      for (std::size_t used = 0; used < index; ++used) entry.uses.push_back(used);
    } else {
      of_entry.uses = ShutdownRegistry::kUsesNothing;
      for (std::size_t used = 0; entries_->options.use_each_other && used < index; ++used) {
        if (pick(0, 2) != 0) continue;
        entry.uses.push_back(used);
        of_entry.uses->push_back(handles[used]);
      }
    }
    entries_->all.push_back(entry);
    handles.push_back(registry.Register(
        std::to_string(index),
        [entries = entries_, index](Clock::TimePoint deadline) {
          return entries->Close(index, deadline);
        },
        std::move(of_entry)));
  }
}

void RandomEntries::Told(const ShutdownRegistry::Closed& closed) {
  const std::size_t index = std::stoul(closed.name);
  const std::string name = entries_->Name(index);
  std::lock_guard lock(entries_->mutex);
  Entry& entry = entries_->all[index];
  EXPECT_FALSE(entry.told) << name << " is told twice";
  EXPECT_TRUE(entries_->UsersTold(index)) << name << " is told before who uses it";
  EXPECT_LE(closed.took, entry.limit) << name;
  entry.told = true;
  entry.left = closed.passed_over;
  if (entry.returned) entries_->simulation->End();
  if (closed.passed_over) {
    EXPECT_EQ(closed.status.code(), absl::StatusCode::kDeadlineExceeded) << name;
    EXPECT_TRUE(entry.kind == Kind::kHangs || entry.takes >= closed.took)
        << name << " is passed over, and was ready";
    // Its deadline comes before by that much. Expediting brings forward when it is passed over.
    const Clock::Duration had = entry.deadline - entry.begun_at;
    const Clock::Duration late = std::min(ShutdownRegistry::kToAnswer, closed.took / 5);
    EXPECT_TRUE(closed.took == had + late ||
                (closed.took < had + late && entries_->options.expedited.stop_requested()))
        << name << " is passed over at another time than it was told";
    return;
  }
  EXPECT_EQ(closed.took, entry.takes) << name;
  EXPECT_EQ(closed.status.code(), entry.kind == Kind::kThrows  ? absl::StatusCode::kInternal
                                  : entry.kind == Kind::kFails ? absl::StatusCode::kDataLoss
                                                               : absl::StatusCode::kOk)
      << name;
}

bool RandomEntries::AllBegun() const {
  std::lock_guard lock(entries_->mutex);
  for (std::size_t index = 0; index < entries_->all.size(); ++index) {
    const Entry& entry = entries_->all[index];
    if (!entry.told && entry.calls == 0 && entries_->UsersTold(index)) return false;
  }
  return true;
}

bool RandomEntries::AllTold() const {
  std::lock_guard lock(entries_->mutex);
  return std::all_of(entries_->all.begin(), entries_->all.end(),
                     [](const Entry& entry) { return entry.told; });
}

void RandomEntries::Check() const {
  std::lock_guard lock(entries_->mutex);
  for (std::size_t index = 0; index < entries_->all.size(); ++index) {
    const Entry& entry = entries_->all[index];
    EXPECT_TRUE(entry.told) << entries_->Name(index);
    EXPECT_EQ(entry.calls, 1) << entries_->Name(index);
  }
}

bool RandomEntries::AnyLeft() const {
  std::lock_guard lock(entries_->mutex);
  return std::any_of(entries_->all.begin(), entries_->all.end(),
                     [](const Entry& entry) { return entry.left; });
}

}  // namespace lifecycle
