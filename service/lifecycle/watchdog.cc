#include "service/lifecycle/watchdog.h"

#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include "service/lifecycle/last_words.h"
#include "service/lifecycle/thread_stacks.h"

namespace lifecycle {
namespace {

// The state of one whose object is gone.
std::mutex left_mutex;
std::weak_ptr<void> left;  // Guarded by left_mutex.

[[noreturn]] void ExitNow(ExitCode code) { _exit(static_cast<int>(code)); }

}  // namespace

struct Watchdog::State {
  State() { sem_init(&changed, 0, 0); }
  ~State() { sem_destroy(&changed); }

  // Of the thread that exits. Set before `changed` is posted.
  std::atomic<Clock::TimePoint> end{Clock::TimePoint::max()};
  std::atomic<ExitCode> code{ExitCode::kWatchdog};
  std::atomic<bool> called_off{false};
  sem_t changed;

  // Of the thread that speaks.
  std::stop_source silenced;
  std::mutex mutex;
  std::condition_variable_any armed_changed;
  bool armed = false;                // Guarded by mutex. `request` is not used any more.
  std::function<void()> on_expired;  // Guarded by mutex; null once the object is gone.

  void ExitBy(Clock::TimePoint at, ExitCode with) {
    if (at >= end.load()) return;
    code = with;
    end = at;
    sem_post(&changed);
  }
  void CallOff() {
    silenced.request_stop();
    called_off = true;
    sem_post(&changed);
  }
  void Exit();
  void Speak(ShutdownRequest& request, Clock::Duration until_expired, Clock::Duration until_exit);
};

void Watchdog::State::Exit() {
  while (!called_off) {
    const Clock::TimePoint at = end;
    if (Clock::Steady().Now() >= at) ExitNow(code);
    if (at == Clock::TimePoint::max()) {
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

void Watchdog::State::Speak(ShutdownRequest& request, Clock::Duration until_expired,
                            Clock::Duration until_exit) {
  const std::stop_token silence = silenced.get_token();
  if (!request.Wait(silence)) return;
  const Clock::TimePoint requested_at = request.requested_at();
  ExitBy(requested_at + until_exit, ExitCode::kWatchdog);
  std::unique_lock lock(mutex);
  armed = true;
  armed_changed.notify_all();
  std::condition_variable_any never;
  Clock::Steady().WaitUntil(lock, never, requested_at + until_expired, silence,
                            [] { return false; });
  if (silence.stop_requested()) return;
  if (on_expired != nullptr) {
    on_expired();
  } else {
    WriteLastWords({"watchdog: the shutdown has spent its grace; stuck after main; exit code 5"});
    WriteThreadStacks(STDERR_FILENO, (until_exit - until_expired) / 2);
  }
  ExitNow(ExitCode::kWatchdog);
}

Watchdog::Watchdog(ShutdownRequest& request, Clock::Duration until_expired,
                   Clock::Duration until_exit, std::function<void()> on_expired)
    : request_(request), state_(std::make_shared<State>()) {
  state_->on_expired = std::move(on_expired);
  {
    std::lock_guard lock(left_mutex);
    if (const auto old = std::static_pointer_cast<State>(left.lock())) old->CallOff();
  }
  exits_ = std::thread([state = state_] { state->Exit(); });
  try {
    speaks_ = std::thread([state = state_, &request, until_expired, until_exit] {
      state->Speak(request, until_expired, until_exit);
    });
  } catch (...) {
    state_->CallOff();
    exits_.join();
    throw;
  }
}

Watchdog::~Watchdog() {
  if (!request_.reason()) {
    state_->silenced.request_stop();
    speaks_.join();  // Before the other one: a request may come in this moment.
    state_->CallOff();
    exits_.join();
    return;
  }
  {
    std::unique_lock lock(state_->mutex);
    state_->armed_changed.wait(lock, [this] { return state_->armed; });
    state_->on_expired = nullptr;
  }
  std::lock_guard lock(left_mutex);
  left = state_;
  speaks_.detach();
  exits_.detach();
}

void Watchdog::ExitBy(Clock::TimePoint end, ExitCode code) { state_->ExitBy(end, code); }

}  // namespace lifecycle
