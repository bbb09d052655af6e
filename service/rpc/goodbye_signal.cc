#include "service/rpc/goodbye_signal.h"

#include <algorithm>
#include <chrono>

namespace rpc {

void GoodbyeSignal::Announce() {
  for (std::stop_source& group : groups_) group.request_stop();
}

void GoodbyeSignal::Announce(lifecycle::Clock::Duration pace, lifecycle::Patience& patience) {
  const auto step = pace / static_cast<int>(groups_.size());
  for (std::stop_source& group : groups_) {
    // The callbacks of thousands of calls take time of their own.
    const lifecycle::Clock::TimePoint next = patience.clock().Now() + step;
    if (!group.request_stop()) continue;
    // Even a pause of no time takes a while, and there are many groups.
    const auto left = next - patience.clock().Now();
    if (left > left.zero()) patience.Pause(left);
  }
}

lifecycle::Clock::Duration GoodbyePace(int streams, lifecycle::Clock::Duration left) {
  // How many streams a replica can take over without its other callers noticing.
  constexpr int kStreamsPerSecond = 2000;
  constexpr lifecycle::Clock::Duration kNone{};
  const lifecycle::Clock::Duration fair =
      lifecycle::Clock::Duration(std::chrono::seconds(streams)) / kStreamsPerSecond;
  return std::clamp(fair, kNone, std::max(left / 2, kNone));
}

}  // namespace rpc
