#include "service/lifecycle/shutdown_registry.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "service/lifecycle/run_or_catch.h"

namespace lifecycle {

struct ShutdownRegistry::Entry {
  enum class Stage { kOpen, kClosing, kReturned, kPassedOver };

  std::string name;
  Closer close;
  Options options;

  Stage stage = Stage::kOpen;
  std::thread thread{};         // Joinable while kClosing and kReturned.
  absl::Status status{};        // Set from kReturned on.
  Clock::TimePoint started{};   // Set from kClosing on.
  Clock::TimePoint deadline{};  // Set from kClosing on.
  Clock::TimePoint returned{};  // Set from kReturned on.
};

struct ShutdownRegistry::State {
  // By a number that is given once; who is registered later has a higher one. Shared
  // with the closer's thread, which may outlive the entry's time here.
  using Entries = std::map<std::size_t, std::shared_ptr<Entry>>;

  mutable std::mutex mutex;
  std::condition_variable_any changed;
  Entries entries;          // Guarded by mutex.
  std::size_t next_id = 0;  // Guarded by mutex.

  // Runs the closer of an entry that is kClosing. Requires: mutex is not held.
  void Run(Entry& entry, Clock& clock);

  // The rest requires mutex.

  static bool Uses(const Entries::value_type& user, const Entries::value_type& used) {
    const auto& [user_id, by] = user;
    const auto& [used_id, of] = used;
    if (user_id <= used_id) return false;
    if (of->options.used_by_all || !by->options.uses) return true;
    return std::any_of(by->options.uses->begin(), by->options.uses->end(),
                       [id = used_id](const Handle& named) { return named.id_ == id; });
  }

  // An entry that can be closed now: no entry that uses it is still to be closed.
  std::optional<std::size_t> NextUnused() const {
    for (const auto& each : entries) {
      if (each.second->stage == Entry::Stage::kOpen && Unused(each)) return each.first;
    }
    return std::nullopt;
  }

  bool Unused(const Entries::value_type& used) const {
    return std::none_of(entries.begin(), entries.end(),
                        [&used](const auto& user) { return Uses(user, used); });
  }

  // The deadline of an entry that is closed from `now` on, when everything must be
  // closed by `end`: each that stands in a row below it has as much time as it.
  Clock::TimePoint FairDeadline(std::size_t id, Clock::TimePoint now, Clock::TimePoint end) const {
    const Clock::Duration left = std::max(end - now, Clock::Duration::zero());
    return now + std::min(entries.at(id)->options.limit, left / Height(id));
  }

  // How many entries stand in a row from this one down to the last that it uses.
  int Height(std::size_t id) const {
    std::map<std::size_t, int> heights;
    for (const auto& user : entries) {
      int& height = heights.emplace(user.first, 1).first->second;
      for (auto used = entries.begin(); used->first != user.first; ++used) {
        if (Uses(user, *used)) height = std::max(height, heights[used->first] + 1);
      }
      if (user.first == id) break;
    }
    return heights[id];
  }

  // Divides what is left of the time anew.
  void BringDeadlinesForward(Clock::TimePoint now, Clock::TimePoint end) {
    for (auto& [id, entry] : entries) {
      if (entry->stage != Entry::Stage::kClosing) continue;
      entry->deadline = std::min(entry->deadline, FairDeadline(id, now, end));
    }
  }

  Clock::TimePoint NextDeadline() const {
    Clock::TimePoint next = Clock::TimePoint::max();
    for (const auto& [id, entry] : entries) {
      if (entry->stage == Entry::Stage::kClosing) next = std::min(next, entry->deadline);
    }
    return next;
  }

  // An entry that is done with now: it has returned, or its time is over.
  Entries::iterator NextDone(Clock::TimePoint now) {
    auto late = entries.end();
    for (auto each = entries.begin(); each != entries.end(); ++each) {
      const Entry& entry = *each->second;
      if (entry.stage == Entry::Stage::kReturned) return each;
      if (entry.stage == Entry::Stage::kClosing && now >= entry.deadline) late = each;
    }
    return late;
  }

  // There is something to do for CloseAll() before the next deadline.
  bool SomethingToDo() const {
    return entries.empty() || NextUnused() ||
           std::any_of(entries.begin(), entries.end(), [](const auto& each) {
             return each.second->stage == Entry::Stage::kReturned;
           });
  }
};

void ShutdownRegistry::State::Run(Entry& entry, Clock& clock) {
  Closer close;  // Destroyed on this thread, and without the mutex: that may hang as well.
  std::unique_lock lock(mutex);
  close = std::move(entry.close);
  if (entry.stage != Entry::Stage::kClosing) return;  // Passed over before it began.
  const Clock::TimePoint deadline = entry.deadline;
  lock.unlock();
  absl::Status status = RunOrCatch([&] { return close(deadline); });
  close = nullptr;  // What it captured is gone before it counts as closed.
  lock.lock();
  if (entry.stage != Entry::Stage::kClosing) return;  // Passed over meanwhile.
  entry.status = std::move(status);
  entry.returned = clock.Now();
  entry.stage = Entry::Stage::kReturned;
  changed.notify_all();
}

ShutdownRegistry::ShutdownRegistry() : state_(std::make_shared<State>()) {}

ShutdownRegistry::Handle ShutdownRegistry::Register(std::string name, Closer close,
                                                    Options options) {
  std::lock_guard lock(state_->mutex);
  const std::size_t id = state_->next_id++;
  state_->entries.emplace(
      id, std::make_shared<Entry>(Entry{std::move(name), std::move(close), std::move(options)}));
  state_->changed.notify_all();
  return Handle(id);
}

void ShutdownRegistry::Forget(Handle handle) {
  std::shared_ptr<Entry> forgotten;  // Destroyed after the mutex is released.
  std::lock_guard lock(state_->mutex);
  const auto found = state_->entries.find(handle.id_);
  if (found == state_->entries.end() || found->second->stage != Entry::Stage::kOpen) return;
  forgotten = std::move(found->second);
  state_->entries.erase(found);
  state_->changed.notify_all();
}

std::size_t ShutdownRegistry::size() const {
  std::lock_guard lock(state_->mutex);
  return state_->entries.size();
}

void ShutdownRegistry::CloseAll(Patience& patience,
                                const std::function<void(const Closed&)>& on_closed) {
  Clock& clock = patience.clock();
  std::unique_lock lock(state_->mutex);
  while (!state_->entries.empty()) {
    while (const std::optional<std::size_t> id = state_->NextUnused()) {
      StartClosing(*id, patience, lock);
    }

    const Clock::TimePoint end = patience.deadline();
    const auto hurried = [&] { return patience.deadline() < end; };
    patience.Wait(
        lock, state_->changed, [&] { return state_->SomethingToDo() || hurried(); },
        state_->NextDeadline());
    if (hurried()) state_->BringDeadlinesForward(clock.Now(), patience.deadline());

    for (auto done = state_->NextDone(clock.Now()); done != state_->entries.end();
         done = state_->NextDone(clock.Now())) {
      const std::shared_ptr<Entry> entry = std::move(done->second);
      state_->entries.erase(done);
      Closed closed{entry->name, entry->status, entry->returned - entry->started};
      const bool returned = entry->stage == Entry::Stage::kReturned;
      if (!returned) {
        entry->stage = Entry::Stage::kPassedOver;
        closed.took = clock.Now() - entry->started;
        closed.status = absl::DeadlineExceededError("did not return in its time");
      }
      closed.passed_over = absl::IsDeadlineExceeded(closed.status);
      std::thread thread = std::move(entry->thread);
      lock.unlock();
      if (thread.joinable()) returned ? thread.join() : thread.detach();
      on_closed(closed);
      lock.lock();
    }
  }
}

void ShutdownRegistry::StartClosing(std::size_t id, const Patience& patience,
                                    std::unique_lock<std::mutex>& lock) {
  Clock& clock = patience.clock();
  const std::shared_ptr<Entry> entry = state_->entries.at(id);
  entry->stage = Entry::Stage::kClosing;
  entry->started = clock.Now();
  entry->deadline = state_->FairDeadline(id, entry->started, patience.deadline());
  try {
    // The thread outlives this call, and shares the state, when the closer hangs.
    entry->thread = std::thread([state = state_, entry, &clock] { state->Run(*entry, clock); });
  } catch (const std::system_error&) {
    lock.unlock();
    state_->Run(*entry, clock);
    lock.lock();
  }
}

std::vector<std::string> ShutdownRegistry::TryClosing() const {
  std::vector<std::string> names;
  std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock.owns_lock()) return names;
  for (const auto& [id, entry] : state_->entries) {
    if (entry->stage == Entry::Stage::kClosing) names.push_back(entry->name);
  }
  return names;
}

}  // namespace lifecycle
