#include "service/lifecycle/shutdown_registry.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/run_or_catch.h"

namespace lifecycle {

struct ShutdownRegistry::Entry {
  enum class Stage { kOpen, kFree, kClosingResources, kReturned, kPassedOver };

  const std::size_t id;
  const std::string name;
  Closer close;
  const Options options;
  // The length of the longest chain of uses from this entry down.
  const std::size_t height;

  Stage stage = Stage::kOpen;
  std::size_t users = 0;                // Entries that use it and are not finished.
  std::optional<std::thread::id> by{};  // The thread that runs its closer.
  absl::Status status{};                // Set from kReturned on.
  Clock::TimePoint started{};           // Set from kClosingResources on, as these are.
  Clock::TimePoint deadline{};
  Clock::TimePoint passed_over_at{};
  bool caught_up = false;       // passed_over_at has been noticed.
  Clock::TimePoint returned{};  // Set from kReturned on.

  // Divides what is left of the time, once it is kClosingResources.
  void SetDeadline(Clock::TimePoint now, Clock::TimePoint end) {
    const Clock::Duration left = std::max(end - now, Clock::Duration::zero());
    const auto row = static_cast<Clock::Duration::rep>(height);
    const Clock::Duration guaranteed = std::min(kGuaranteed, left / (2 * row)) * (row - 1);
    const Clock::Duration mine = std::min(options.limit.value_or(left), left - guaranteed);
    passed_over_at = std::min(passed_over_at, now + mine);
    deadline = passed_over_at - std::min(kToAnswer, (passed_over_at - now) / 5);
  }
};

// Which entry uses which, and which ones nobody uses any more.
struct ShutdownRegistry::Graph {
  std::vector<std::shared_ptr<Entry>> entries{};  // By id; null: finished.
  std::size_t left = 0;
  std::vector<std::size_t> free{};  // To be closed next.

  // Entries that use all below them, and entries that all above them use. In both, each uses the
  // one before it, so the last one is finished first, unless a closer has registered it.
  std::vector<std::size_t> users_of_all{}, used_by_all{};
  std::size_t above_all = 0;  // No entry of this id or above is left.
  std::size_t tallest = 0;

  std::size_t HeightAbove(const Options& options) const {
    if (!options.uses) return tallest + 1;
    std::size_t height = used_by_all.empty() ? 0 : entries[used_by_all.back()]->height;
    for (const Handle& used : *options.uses) {
      if (entries[used.id_] != nullptr) height = std::max(height, entries[used.id_]->height);
    }
    return height + 1;
  }

  std::size_t Add(std::string name, Closer close, Options options) {
    const std::size_t id = entries.size();
    const std::size_t height = HeightAbove(options);
    tallest = std::max(tallest, height);
    ForEachNamed(options, [](Entry& used) { ++used.users; });
    if (!options.uses) users_of_all.push_back(id);
    if (options.used_by_all) used_by_all.push_back(id);
    entries.push_back(std::make_shared<Entry>(
        Entry{id, std::move(name), std::move(close), std::move(options), height}));
    above_all = entries.size();
    ++left;
    return id;
  }

  void FreeIfUnused(std::size_t id) {
    Entry* const entry = entries[id].get();
    if (entry == nullptr || entry->stage != Entry::Stage::kOpen || entry->users > 0) return;
    if (!users_of_all.empty() && users_of_all.back() > id) return;
    if (entry->options.used_by_all && above_all > id + 1) return;
    entry->stage = Entry::Stage::kFree;
    free.push_back(id);
  }

  void FreeUnused(std::size_t from, std::size_t to) {
    for (std::size_t id = to; id > from; --id) FreeIfUnused(id - 1);
  }

  // The entry is finished, and uses nothing any more.
  void Remove(const Entry& gone) {
    entries[gone.id] = nullptr;
    --left;
    while (above_all > 0 && entries[above_all - 1] == nullptr) --above_all;
    if (gone.options.used_by_all) std::erase(used_by_all, gone.id);
    if (gone.options.uses) {
      ForEachNamed(gone.options, [this](Entry& used) {
        --used.users;
        FreeIfUnused(used.id);
      });
    } else {
      std::erase(users_of_all, gone.id);
      FreeUnused(users_of_all.empty() ? 0 : users_of_all.back(), gone.id);
    }
    if (!used_by_all.empty()) FreeIfUnused(used_by_all.back());
  }

  template <typename Do>
  void ForEachNamed(const Options& options, Do do_this) {
    if (!options.uses) return;
    for (const Handle& used : *options.uses) {
      if (entries[used.id_] != nullptr) do_this(*entries[used.id_]);
    }
  }
};

struct ShutdownRegistry::State : std::enable_shared_from_this<State> {
  using Lock = std::unique_lock<std::mutex>;
  using Threads = std::map<std::thread::id, std::thread>;

  mutable std::mutex mutex;
  // All guarded by mutex.
  Graph graph;
  enum class Stage { kOpen, kClosingResources, kClosed } stage = Stage::kOpen;
  std::set<std::pair<Clock::TimePoint, std::size_t>> closing;  // By when they are passed over.
  std::deque<std::shared_ptr<Entry>> waiting;   // Of these, those that no thread has taken yet.
  std::deque<std::shared_ptr<Entry>> returned;  // And those that have returned.
  std::size_t idle = 0;                         // Threads that wait for one.
  std::condition_variable taken;
  std::condition_variable_any changed;

  // Each requires that `lock` is held.

  // Runs the closer that has waited longest. False: it was passed over meanwhile.
  bool RunNext(Lock& lock, Clock& clock);
  void Work(Clock& clock);
  void StartClosing(Lock& lock, Clock& clock, Clock::TimePoint end, Threads& threads);
  void BringDeadlinesForward(Clock::TimePoint now, Clock::TimePoint end);
  // A finished entry: it has returned, or its time is up. Null: there is none. An entry whose time
  // was noticed to be up late catches up, but not beyond `end`.
  std::shared_ptr<Entry> NextDone(Clock::TimePoint now, Clock::TimePoint end);
};

bool ShutdownRegistry::State::RunNext(Lock& lock, Clock& clock) {
  const std::shared_ptr<Entry> entry = std::move(waiting.front());
  waiting.pop_front();
  if (entry->stage != Entry::Stage::kClosingResources) return true;  // Passed over before it began.
  entry->by = std::this_thread::get_id();
  Closer close = std::move(entry->close);
  const Clock::TimePoint deadline = entry->deadline;
  lock.unlock();
  absl::Status status = RunOrCatch([&] { return close(deadline); });
  close = nullptr;  // What it captured is gone before it counts as closed.
  lock.lock();
  if (entry->stage != Entry::Stage::kClosingResources) return false;
  entry->status = std::move(status);
  entry->returned = clock.Now();
  entry->stage = Entry::Stage::kReturned;
  returned.push_back(entry);
  changed.notify_all();
  return true;
}

void ShutdownRegistry::State::Work(Clock& clock) {
  Lock lock(mutex);
  for (;;) {
    ++idle;
    taken.wait(lock, [this] { return stage == Stage::kClosed || !waiting.empty(); });
    --idle;
    if (waiting.empty() || !RunNext(lock, clock)) return;
  }
}

void ShutdownRegistry::State::StartClosing(Lock& lock, Clock& clock, Clock::TimePoint end,
                                           Threads& threads) {
  while (!graph.free.empty()) {
    const std::shared_ptr<Entry>& entry = graph.entries[graph.free.back()];
    graph.free.pop_back();
    entry->stage = Entry::Stage::kClosingResources;
    entry->started = clock.Now();
    entry->passed_over_at = Clock::TimePoint::max();
    entry->SetDeadline(entry->started, end);
    closing.emplace(entry->passed_over_at, entry->id);
    waiting.push_back(entry);
    taken.notify_one();
    if (waiting.size() <= idle) continue;
    // Without the lock, so that the existing threads can continue.
    lock.unlock();
    std::thread thread;
    try {
      thread = std::thread([state = shared_from_this(), &clock] { state->Work(clock); });
    } catch (const std::system_error&) {
    }
    lock.lock();
    if (thread.joinable()) {
      threads.emplace(thread.get_id(), std::move(thread));
    } else if (!waiting.empty()) {
      RunNext(lock, clock);
    }
  }
}

void ShutdownRegistry::State::BringDeadlinesForward(Clock::TimePoint now, Clock::TimePoint end) {
  for (const auto& [at, id] : std::exchange(closing, {})) {
    graph.entries[id]->SetDeadline(now, end);
    closing.emplace(graph.entries[id]->passed_over_at, id);
  }
}

std::shared_ptr<ShutdownRegistry::Entry> ShutdownRegistry::State::NextDone(Clock::TimePoint now,
                                                                           Clock::TimePoint end) {
  if (!returned.empty()) {
    std::shared_ptr<Entry> done = std::move(returned.front());
    returned.pop_front();
    closing.erase({done->passed_over_at, done->id});
    return done;
  }
  while (!closing.empty() && closing.begin()->first <= now) {
    const std::shared_ptr<Entry> late = graph.entries[closing.begin()->second];
    closing.erase(closing.begin());
    if (std::exchange(late->caught_up, true)) {
      late->stage = Entry::Stage::kPassedOver;
      return late;
    }
    late->passed_over_at = std::min(CatchUp(late->passed_over_at, now), std::max(now, end));
    closing.emplace(late->passed_over_at, late->id);
  }
  return nullptr;
}

ShutdownRegistry::ShutdownRegistry() : state_(std::make_shared<State>()) {}

ShutdownRegistry::Handle ShutdownRegistry::Register(std::string name, Closer close,
                                                    Options options) {
  std::unique_lock lock(state_->mutex);
  if (state_->stage == State::Stage::kClosed) {
    lock.unlock();
    Require(false, "ShutdownRegistry::Register(\"" + name + "\") after everything was closed");
  }
  const std::size_t id = state_->graph.Add(std::move(name), std::move(close), std::move(options));
  if (state_->stage == State::Stage::kClosingResources) {
    state_->graph.FreeIfUnused(id);
    state_->changed.notify_all();
  }
  return Handle(id);
}

void ShutdownRegistry::CloseAll(Patience& patience,
                                const std::function<void(const Closed&)>& on_closed) {
  Clock& clock = patience.clock();
  State& state = *state_;
  State::Threads threads;
  State::Lock lock(state.mutex);
  state.stage = State::Stage::kClosingResources;
  state.graph.FreeUnused(0, state.graph.entries.size());
  while (state.graph.left > 0) {
    state.StartClosing(lock, clock, patience.deadline(), threads);

    const Clock::TimePoint end = patience.deadline();
    const auto expedited = [&] { return patience.deadline() < end; };
    patience.Wait(
        lock, state.changed,
        [&] { return !state.returned.empty() || !state.graph.free.empty() || expedited(); },
        state.closing.empty() ? Clock::TimePoint::max() : state.closing.begin()->first);
    if (expedited()) state.BringDeadlinesForward(clock.Now(), patience.deadline());

    while (const std::shared_ptr<Entry> entry = state.NextDone(clock.Now(), patience.deadline())) {
      const bool returned = entry->stage == Entry::Stage::kReturned;
      Closed closed{entry->name, entry->status, entry->returned - entry->started};
      if (!returned) {
        closed.took = clock.Now() - entry->started;
        closed.status = absl::DeadlineExceededError("did not return in time");
        if (entry->by) threads.extract(*entry->by).mapped().detach();
      }
      closed.passed_over = absl::IsDeadlineExceeded(closed.status);
      lock.unlock();
      if (!returned) entry->close = nullptr;  // Not under the lock: that may hang as well.
      on_closed(closed);
      lock.lock();
      state.graph.Remove(*entry);
    }
  }
  state.stage = State::Stage::kClosed;
  state.taken.notify_all();
  lock.unlock();
  for (auto& [id, thread] : threads) thread.join();
}

std::vector<std::string> ShutdownRegistry::TryClosing() const {
  std::vector<std::string> names;
  std::unique_lock lock(state_->mutex, std::try_to_lock);
  if (!lock.owns_lock()) return names;
  for (const auto& [at, id] : state_->closing) {
    // An entry that has returned is not finished yet.
    const Entry& entry = *state_->graph.entries[id];
    if (entry.stage == Entry::Stage::kClosingResources) names.push_back(entry.name);
  }
  return names;
}

}  // namespace lifecycle
