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
#include "service/lifecycle/use_graph.h"

namespace lifecycle {

struct ShutdownRegistry::Entry {
  enum class Stage { kOpen, kClosing, kReturned, kPassedOver };

  const UseGraph::Id id;
  const std::string name;
  Closer close;
  const std::optional<Clock::Duration> limit;
  const std::size_t height;  // UseGraph::HeightOf().

  Stage stage = Stage::kOpen;
  std::optional<std::thread::id> by{};  // The thread that runs its closer.
  absl::Status status{};                // Set from kReturned on.
  Clock::TimePoint started{};           // Set from kClosing on, as these are.
  Clock::TimePoint deadline{};
  Clock::TimePoint passed_over_at{};
  bool caught_up = false;       // passed_over_at has been noticed.
  Clock::TimePoint returned{};  // Set from kReturned on.

  // Divides what is left of the time, once it is kClosing.
  void SetDeadline(Clock::TimePoint now, Clock::TimePoint end) {
    const Clock::Duration left = std::max(end - now, Clock::Duration::zero());
    const auto row = static_cast<Clock::Duration::rep>(height);
    const Clock::Duration guaranteed = std::min(kGuaranteed, left / (2 * row)) * (row - 1);
    const Clock::Duration mine = std::min(limit.value_or(left), left - guaranteed);
    passed_over_at = std::min(passed_over_at, now + mine);
    deadline = passed_over_at - std::min(kToAnswer, (passed_over_at - now) / 5);
  }
};

struct ShutdownRegistry::State : std::enable_shared_from_this<State> {
  using Lock = std::unique_lock<std::mutex>;
  using Threads = std::map<std::thread::id, std::thread>;

  mutable std::mutex mutex;
  // All guarded by mutex.
  UseGraph graph;
  std::vector<std::shared_ptr<Entry>> entries;  // By id; null: finished.
  enum class Stage { kOpen, kClosing, kClosed } stage = Stage::kOpen;
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
  if (entry->stage != Entry::Stage::kClosing) return true;  // Passed over before it began.
  entry->by = std::this_thread::get_id();
  Closer close = std::move(entry->close);
  const Clock::TimePoint deadline = entry->deadline;
  lock.unlock();
  absl::Status status = RunOrCatch([&] { return close(deadline); });
  close = nullptr;  // What it captured is gone before it counts as closed.
  lock.lock();
  if (entry->stage != Entry::Stage::kClosing) return false;
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
  while (graph.any_free()) {
    const std::shared_ptr<Entry>& entry = entries[graph.TakeFree()];
    entry->stage = Entry::Stage::kClosing;
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
    entries[id]->SetDeadline(now, end);
    closing.emplace(entries[id]->passed_over_at, id);
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
    const std::shared_ptr<Entry> late = entries[closing.begin()->second];
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
  UseGraph::Uses uses;
  if (options.uses) {
    uses.emplace();
    for (const Handle& used : *options.uses) uses->push_back(used.id_);
  }
  UseGraph& graph = state_->graph;
  const UseGraph::Id id = graph.Add(std::move(uses), options.used_by_all);
  state_->entries.push_back(std::make_shared<Entry>(
      Entry{id, std::move(name), std::move(close), options.limit, graph.HeightOf(id)}));
  if (state_->stage == State::Stage::kClosing) state_->changed.notify_all();
  return Handle(id);
}

void ShutdownRegistry::CloseAll(Patience& patience,
                                const std::function<void(const Closed&)>& on_closed) {
  Clock& clock = patience.clock();
  State& state = *state_;
  State::Threads threads;
  State::Lock lock(state.mutex);
  state.stage = State::Stage::kClosing;
  state.graph.Begin();
  while (state.graph.left() > 0) {
    state.StartClosing(lock, clock, patience.deadline(), threads);

    const Clock::TimePoint end = patience.deadline();
    const auto expedited = [&] { return patience.deadline() < end; };
    patience.Wait(
        lock, state.changed,
        [&] { return !state.returned.empty() || state.graph.any_free() || expedited(); },
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
      state.entries[entry->id] = nullptr;
      state.graph.Remove(entry->id);
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
    const Entry& entry = *state_->entries[id];
    if (entry.stage == Entry::Stage::kClosing) names.push_back(entry.name);
  }
  return names;
}

}  // namespace lifecycle
