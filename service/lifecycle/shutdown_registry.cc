#include "service/lifecycle/shutdown_registry.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lifecycle {

struct ShutdownRegistry::Entry {
  enum class Stage { kOpen, kClosing, kReturned, kDone };

  std::string name;
  Closer close;
  Clock::Duration limit;
  std::vector<std::size_t> uses;

  Stage stage = Stage::kOpen;
  absl::Status status{};          // Set from kReturned on.
  Clock::TimePoint started{};     // Set from kClosing on.
  Clock::TimePoint deadline{};    // Set from kClosing on.
  Clock::TimePoint returned{};    // Set from kReturned on.
};

struct ShutdownRegistry::State {
  mutable std::mutex mutex;
  std::condition_variable_any returned;
  std::vector<Entry> entries;  // Guarded by mutex.

  // The rest requires mutex.

  // No entry that uses this one is still to be closed.
  bool Unused(std::size_t index) const {
    return std::none_of(entries.begin(), entries.end(), [index](const Entry& user) {
      return user.stage != Entry::Stage::kDone &&
             std::find(user.uses.begin(), user.uses.end(), index) != user.uses.end();
    });
  }

  // How many entries stand in a row from this one down to the last that it uses.
  int Height(std::size_t index) const {
    std::vector<int> heights(index + 1, 1);
    for (std::size_t i = 0; i <= index; ++i) {
      for (const std::size_t used : entries[i].uses) {
        if (entries[used].stage == Entry::Stage::kDone) continue;
        heights[i] = std::max(heights[i], heights[used] + 1);
      }
    }
    return heights[index];
  }

  // An entry that is done with now: it has returned, or its time is over.
  Entry* NextDone(Clock::TimePoint now, Clock::TimePoint end) {
    Entry* late = nullptr;
    for (Entry& entry : entries) {
      if (entry.stage == Entry::Stage::kReturned) return &entry;
      if (entry.stage == Entry::Stage::kClosing && now >= std::min(entry.deadline, end)) {
        late = &entry;
      }
    }
    return late;
  }

  Clock::TimePoint NextDeadline() const {
    Clock::TimePoint next = Clock::TimePoint::max();
    for (const Entry& entry : entries) {
      if (entry.stage == Entry::Stage::kClosing) next = std::min(next, entry.deadline);
    }
    return next;
  }

  bool AllDone() const {
    return std::all_of(entries.begin(), entries.end(),
                       [](const Entry& entry) { return entry.stage == Entry::Stage::kDone; });
  }

  bool AnyReturned() const {
    return std::any_of(entries.begin(), entries.end(),
                       [](const Entry& entry) { return entry.stage == Entry::Stage::kReturned; });
  }
};

namespace {

absl::Status RunCloser(const ShutdownRegistry::Closer& close, Clock::TimePoint deadline) {
  try {
    return close(deadline);
  } catch (const std::exception& thrown) {
    return absl::InternalError(absl::StrCat("threw: ", thrown.what()));
  } catch (...) {
    return absl::InternalError("threw something that is no std::exception");
  }
}

}  // namespace

ShutdownRegistry::ShutdownRegistry() : state_(std::make_shared<State>()) {}

ShutdownRegistry::Handle ShutdownRegistry::Register(std::string name, Closer close,
                                                    Options options) {
  std::lock_guard lock(state_->mutex);
  const std::size_t index = state_->entries.size();
  std::vector<std::size_t> uses;
  if (options.uses) {
    for (const Handle& used : *options.uses) uses.push_back(used.index_);
  } else {
    uses.resize(index);
    std::iota(uses.begin(), uses.end(), std::size_t{0});
  }
  state_->entries.push_back({std::move(name), std::move(close), options.limit, std::move(uses)});
  return Handle(index);
}

void ShutdownRegistry::Forget(Handle handle) {
  Closer close;  // Destroyed after the mutex is released.
  std::lock_guard lock(state_->mutex);
  Entry& entry = state_->entries[handle.index_];
  if (entry.stage != Entry::Stage::kOpen) return;
  entry.stage = Entry::Stage::kDone;
  close = std::move(entry.close);
}

void ShutdownRegistry::CloseAll(Patience& patience,
                                const std::function<void(const Closed&)>& on_closed) {
  using Stage = Entry::Stage;
  Clock& clock = patience.clock();

  // On a thread of its own, which outlives this call when the closer hangs.
  const auto start = [this, &clock](std::size_t index) {
    Closer close = std::move(state_->entries[index].close);
    const Clock::TimePoint deadline = state_->entries[index].deadline;
    std::thread([state = state_, &clock, index, deadline, close = std::move(close)]() mutable {
      absl::Status status = RunCloser(close, deadline);
      close = nullptr;  // What it captured is gone before it counts as closed.
      std::lock_guard lock(state->mutex);
      Entry& entry = state->entries[index];
      if (entry.stage != Stage::kClosing) return;  // Passed over meanwhile.
      entry.status = std::move(status);
      entry.returned = clock.Now();
      entry.stage = Stage::kReturned;
      state->returned.notify_all();
    }).detach();
  };

  std::unique_lock lock(state_->mutex);
  while (!state_->AllDone()) {
    const Clock::TimePoint now = clock.Now();
    for (std::size_t index = 0; index < state_->entries.size(); ++index) {
      Entry& entry = state_->entries[index];
      if (entry.stage != Stage::kOpen || !state_->Unused(index)) continue;
      const Clock::Duration left =
          std::max(patience.deadline() - now, Clock::Duration::zero());
      entry.stage = Stage::kClosing;
      entry.started = now;
      entry.deadline = now + std::min(entry.limit, left / state_->Height(index));
      start(index);
    }

    patience.Wait(
        lock, state_->returned, [this] { return state_->AnyReturned(); },
        state_->NextDeadline());

    while (Entry* entry = state_->NextDone(clock.Now(), patience.deadline())) {
      Closed closed{entry->name, entry->status, entry->returned - entry->started};
      if (entry->stage == Stage::kClosing) {
        closed.passed_over = true;
        closed.took = clock.Now() - entry->started;
        closed.status = absl::DeadlineExceededError("did not return in its time");
      }
      entry->stage = Stage::kDone;
      lock.unlock();
      on_closed(closed);
      lock.lock();
    }
  }
}

std::vector<std::string> ShutdownRegistry::TryClosing() const {
  std::vector<std::string> names;
  std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock.owns_lock()) return names;
  for (const Entry& entry : state_->entries) {
    if (entry.stage == Entry::Stage::kClosing) names.push_back(entry.name);
  }
  return names;
}

}  // namespace lifecycle
