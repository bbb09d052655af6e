#include "service/lifecycle/watchdog.h"

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

namespace lifecycle {

Watchdog::Watchdog(StopRequest& request, Clock::Duration allowance, std::function<void()> bite)
    : thread_([&request, allowance, bite = std::move(bite)](std::stop_token called_off) {
        if (!request.Wait(called_off)) return;
        // Counted from here, because requested_at() may be of a clock that stands still.
        const Clock::TimePoint end = Clock::Steady().Now() + allowance;
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        Clock::Steady().WaitUntil(lock, never, end, called_off, [] { return false; });
        if (!called_off.stop_requested()) bite();
      }) {}

}  // namespace lifecycle
