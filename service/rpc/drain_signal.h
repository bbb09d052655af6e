#ifndef SERVICE_RPC_DRAIN_SIGNAL_H_
#define SERVICE_RPC_DRAIN_SIGNAL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <stop_token>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/patience.h"

namespace rpc {

// Tells a call that the server is draining, so that it can end itself at a point
// of its own choosing: a stream says goodbye, an import stops where all is stored.
//
// This is not cancellation: a call that is cancelled (its context tells) has
// nobody left to answer to; a call that is draining has.
//
// The problem: thousands of streams that end in one instant come back in one
// instant, at replicas that have work of their own. So the tokens form groups, and
// one group is told after the other.
//
// Threads: all methods may be called from any thread. Callbacks registered on a
// token run on the thread that calls Announce(), so they must not block.
// Lifetime: outlives the services and the server.
class DrainSignal {
 public:
  // A token for one call. After its group was told, it is requested already.
  std::stop_token token() const {
    return groups_[next_.fetch_add(1, std::memory_order_relaxed) % groups_.size()].get_token();
  }

  // Tells every group at once. Further calls, of either kind, do nothing.
  void Announce();

  // Tells every group, spread evenly over `pace`; all that are left at once when
  // `patience` is over.
  void Announce(lifecycle::Clock::Duration pace, lifecycle::Patience& patience);

 private:
  std::array<std::stop_source, 64> groups_;
  mutable std::atomic<std::size_t> next_{0};
};

}  // namespace rpc

#endif  // SERVICE_RPC_DRAIN_SIGNAL_H_
