#include "service/rpc/drain_signal.h"

namespace rpc {

void DrainSignal::Announce() {
  for (std::stop_source& group : groups_) group.request_stop();
}

void DrainSignal::Announce(lifecycle::Clock::Duration pace, lifecycle::Patience& patience) {
  const auto step = pace / static_cast<int>(groups_.size());
  for (std::stop_source& group : groups_) {
    if (group.request_stop()) patience.Pause(step);
  }
}

}  // namespace rpc
