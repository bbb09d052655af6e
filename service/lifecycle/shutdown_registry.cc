#include "service/lifecycle/shutdown_registry.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
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
  bool used_by_all;

  Stage stage = Stage::kOpen;
  std::thread thread{};         // Joinable from kClosing to kDone.
  absl::Status status{};        // Set from kReturned on.
  Clock::TimePoint started{};   // Set from kClosing on.
  Clock::TimePoint deadline{};  // Set from kClosing on.
  Clock::TimePoint returned{};  // Set from kReturned on.
};

struct ShutdownRegistry::State {
  mutable std::mutex mutex;
  std::condition_variable_any returned;
  std::vector<Entry> entries;  // Guarded by mutex.

  // Runs the closer of an entry that is kClosing. Requires: mutex is not held.
  void Run(std::size_t index, Clock& clock);

  // The rest requires mutex.

  // An entry that can be closed now: no entry that uses it is still to be closed.
  std::optional<std::size_t> NextUnused() const {
    for (std::size_t index = 0; index < entries.size(); ++index) {
      if (entries[index].stage == Entry::Stage::kOpen && Unused(index)) return index;
    }
    return std::nullopt;
  }

  bool Unused(std::size_t index) const {
    return std::none_of(entries.begin(), entries.end(), [index](const Entry& user) {
      return user.stage != Entry::Stage::kDone &&
             std::find(user.uses.begin(), user.uses.end(), index) != user.uses.end();
    });
  }

  // The deadline of an entry that is closed from `now` on, when everything must be
  // closed by `end`: each that stands in a row below it has as much time as it.
  Clock::TimePoint FairDeadline(std::size_t index, Clock::TimePoint now,
                                Clock::TimePoint end) const {
    const Clock::Duration left = std::max(end - now, Clock::Duration::zero());
    return now + std::min(entries[index].limit, left / Height(index));
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

  // Divides what is left of the time anew.
  void BringDeadlinesForward(Clock::TimePoint now, Clock::TimePoint end) {
    for (std::size_t index = 0; index < entries.size(); ++index) {
      Entry& entry = entries[index];
      if (entry.stage != Entry::Stage::kClosing) continue;
      entry.deadline = std::min(entry.deadline, FairDeadline(index, now, end));
    }
  }

  Clock::TimePoint NextDeadline() const {
    Clock::TimePoint next = Clock::TimePoint::max();
    for (const Entry& entry : entries) {
      if (entry.stage == Entry::Stage::kClosing) next = std::min(next, entry.deadline);
    }
    return next;
  }

  // An entry that is done with now: it has returned, or its time is over.
  Entry* NextDone(Clock::TimePoint now) {
    Entry* late = nullptr;
    for (Entry& entry : entries) {
      if (entry.stage == Entry::Stage::kReturned) return &entry;
      if (entry.stage == Entry::Stage::kClosing && now >= entry.deadline) late = &entry;
    }
    return late;
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

void ShutdownRegistry::State::Run(std::size_t index, Clock& clock) {
  std::unique_lock lock(mutex);
  if (entries[index].stage != Entry::Stage::kClosing) return;  // Passed over before it began.
  Closer close = std::move(entries[index].close);
  const Clock::TimePoint deadline = entries[index].deadline;
  lock.unlock();
  absl::Status status = RunCloser(close, deadline);
  close = nullptr;  // What it captured is gone before it counts as closed.
  lock.lock();
  Entry& entry = entries[index];
  if (entry.stage != Entry::Stage::kClosing) return;  // Passed over meanwhile.
  entry.status = std::move(status);
  entry.returned = clock.Now();
  entry.stage = Entry::Stage::kReturned;
  returned.notify_all();
}

ShutdownRegistry::ShutdownRegistry() : state_(std::make_shared<State>()) {}

ShutdownRegistry::Handle ShutdownRegistry::Register(std::string name, Closer close,
                                                    Options options) {
  std::lock_guard lock(state_->mutex);
  const std::size_t index = state_->entries.size();
  std::vector<std::size_t> uses;
  if (options.uses) {
    for (const Handle& used : *options.uses) uses.push_back(used.index_);
  }
  for (std::size_t other = 0; other < index; ++other) {
    if (!options.uses || state_->entries[other].used_by_all) uses.push_back(other);
  }
  state_->entries.push_back(
      {std::move(name), std::move(close), options.limit, std::move(uses), options.used_by_all});
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
  Clock& clock = patience.clock();
  std::unique_lock lock(state_->mutex);
  while (!state_->AllDone()) {
    while (const std::optional<std::size_t> index = state_->NextUnused()) {
      StartClosing(*index, patience, lock);
    }

    const Clock::TimePoint end = patience.deadline();
    const auto hurried = [&] { return patience.deadline() < end; };
    patience.Wait(
        lock, state_->returned, [&] { return state_->AnyReturned() || hurried(); },
        state_->NextDeadline());
    if (hurried()) state_->BringDeadlinesForward(clock.Now(), patience.deadline());

    while (Entry* entry = state_->NextDone(clock.Now())) {
      Closed closed{entry->name, entry->status, entry->returned - entry->started};
      if (entry->stage == Entry::Stage::kClosing) {
        closed.passed_over = true;
        closed.took = clock.Now() - entry->started;
        closed.status = absl::DeadlineExceededError("did not return in its time");
      }
      entry->stage = Entry::Stage::kDone;
      std::thread thread = std::move(entry->thread);
      lock.unlock();
      if (thread.joinable()) closed.passed_over ? thread.detach() : thread.join();
      on_closed(closed);
      lock.lock();
    }
  }
}

void ShutdownRegistry::StartClosing(std::size_t index, const Patience& patience,
                                    std::unique_lock<std::mutex>& lock) {
  Clock& clock = patience.clock();
  Entry& entry = state_->entries[index];
  entry.stage = Entry::Stage::kClosing;
  entry.started = clock.Now();
  entry.deadline = state_->FairDeadline(index, entry.started, patience.deadline());
  try {
    // The thread outlives this call, and shares the state, when the closer hangs.
    entry.thread = std::thread([state = state_, index, &clock] { state->Run(index, clock); });
  } catch (const std::system_error&) {
    lock.unlock();
    state_->Run(index, clock);
    lock.lock();
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
