#include "service/lifecycle/last_resort/watchdog.h"

#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "service/lifecycle/last_resort/last_words.h"
#include "service/lifecycle/last_resort/thread_stacks.h"

namespace lifecycle {
namespace {

using TimePoint = Watchdog::TimePoint;
using Duration = Watchdog::Duration;

// A thread that wakes so much after its time has not overslept: the process was stopped.
constexpr std::chrono::milliseconds kStopped(100);

// The state of a watchdog whose object is gone.
std::mutex left_mutex;
std::weak_ptr<void> left;  // Guarded by left_mutex.

[[noreturn]] void ExitNow(ExitCode code) { _exit(static_cast<int>(code)); }

// When the process ends at the latest, and with which code.
struct End {
  TimePoint at = TimePoint::max();
  ExitCode code = ExitCode::kWatchdog;
};

// The earliest of those that several threads set. Its mutex is held for a comparison and a copy:
// nobody can hang with it.
class EarliestEnd {
 public:
  void Set(const End& end) {
    std::lock_guard lock(mutex_);
    if (end.at < end_.at) end_ = end;
  }
  End Get() const {
    std::lock_guard lock(mutex_);
    return end_;
  }

 private:
  mutable std::mutex mutex_;
  End end_;  // Guarded by mutex_.
};

}  // namespace

struct Watchdog::State {
  State() { sem_init(&changed, 0, 0); }
  ~State() { sem_destroy(&changed); }

  // For the thread that exits. Set before `changed` is posted.
  EarliestEnd end;
  std::atomic<bool> called_off{false};
  sem_t changed;

  // For the thread that speaks.
  std::stop_source interrupted;  // No longer waits for a request.
  std::stop_source silenced;
  std::mutex mutex;
  std::condition_variable_any changed_waiting;
  bool waits_for_request = true;     // Guarded by mutex. Once false, `await` is not used any more.
  bool requested = false;            // Guarded by mutex; set before that.
  std::function<void()> on_expired;  // Guarded by mutex; null once the object is gone.

  void ExitBy(TimePoint at, ExitCode code) {
    end.Set({at, code});
    sem_post(&changed);
  }
  void CallOff() {
    silenced.request_stop();
    called_off = true;
    sem_post(&changed);
  }
  void Exit(Duration to_speak);
  void Speak(const AwaitRequest& await, Duration until_expired, Duration until_exit);
};

void Watchdog::State::Exit(Duration to_speak) {
  std::optional<TimePoint> more;  // In a process that was stopped beyond its end.
  while (!called_off) {
    auto [at, code] = end.Get();
    const TimePoint now = std::chrono::steady_clock::now();
    if (!more && now - kStopped > at) more = now + to_speak;
    at = std::max(at, more.value_or(at));
    if (now >= at) ExitNow(code);
    if (at == TimePoint::max()) {
      sem_wait(&changed);
      continue;
    }
    // The clock of std::chrono::steady_clock.
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at.time_since_epoch());
    const timespec until = {static_cast<time_t>(seconds.count()),
                            static_cast<long>((at.time_since_epoch() - seconds).count())};
    sem_clockwait(&changed, CLOCK_MONOTONIC, &until);
  }
}

void Watchdog::State::Speak(const AwaitRequest& await, Duration until_expired,
                            Duration until_exit) {
  const std::optional<TimePoint> requested_at = await(interrupted.get_token());
  if (requested_at) ExitBy(*requested_at + until_exit, ExitCode::kWatchdog);
  std::unique_lock lock(mutex);
  requested = requested_at.has_value();
  waits_for_request = false;
  changed_waiting.notify_all();
  if (!requested) return;
  const std::stop_token silence = silenced.get_token();
  std::condition_variable_any never;
  never.wait_until(lock, silence, *requested_at + until_expired, [] { return false; });
  if (silence.stop_requested()) return;
  if (on_expired != nullptr) {
    on_expired();
  } else {
    WriteLastWords({"watchdog: the shutdown has spent its grace; stuck after main; exit code 5"});
    WriteThreadStacks(STDERR_FILENO, (until_exit - until_expired) / 2);
  }
  ExitNow(ExitCode::kWatchdog);
}

Watchdog::Watchdog(AwaitRequest await, Duration until_expired, Duration until_exit,
                   std::function<void()> on_expired)
    : state_(std::make_shared<State>()) {
  state_->on_expired = std::move(on_expired);
  {
    std::lock_guard lock(left_mutex);
    if (const auto old = std::static_pointer_cast<State>(left.lock())) old->CallOff();
  }
  exits_ = std::thread(
      [state = state_, to_speak = until_exit - until_expired] { state->Exit(to_speak); });
  try {
    speaks_ = std::thread([state = state_, await = std::move(await), until_expired, until_exit] {
      state->Speak(await, until_expired, until_exit);
    });
  } catch (...) {
    state_->CallOff();
    exits_.join();
    throw;
  }
}

Watchdog::~Watchdog() {
  state_->interrupted.request_stop();
  bool requested;
  {
    std::unique_lock lock(state_->mutex);
    state_->changed_waiting.wait(lock, [this] { return !state_->waits_for_request; });
    requested = state_->requested;
    state_->on_expired = nullptr;
  }
  if (!requested) {
    speaks_.join();
    state_->CallOff();
    exits_.join();
    return;
  }
  std::lock_guard lock(left_mutex);
  left = state_;
  speaks_.detach();
  exits_.detach();
}

void Watchdog::ExitBy(TimePoint end, ExitCode code) { state_->ExitBy(end, code); }

}  // namespace lifecycle
