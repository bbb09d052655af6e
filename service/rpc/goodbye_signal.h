#ifndef SERVICE_RPC_GOODBYE_SIGNAL_H_
#define SERVICE_RPC_GOODBYE_SIGNAL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <stop_token>

#include "service/lifecycle/clock.h"

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
// A call that still runs when the shutdown's budget for calls is nearly spent is told once
// more: it must be answered now, or it is cut off. What it waits for elsewhere, a
// backend (backend_channel.h), is then given up in time to say so to its caller.
//
// Threads: all methods may be called from any thread. Callbacks registered on a
// token run on the thread that calls Announce() or DemandAnswers(), so they must not
// block.
// Lifetime: outlives the services and the server.
class GoodbyeSignal {
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

  // Requested a moment before the calls that still run are cut off. Not at all in a
  // stop whose calls end in time.
  std::stop_token answer_now() const { return answers_.get_token(); }

  // Requests that. Further calls do nothing.
  void DemandAnswers() { answers_.request_stop(); }

 private:
  std::array<std::stop_source, 64> groups_;
  std::stop_source answers_;
  mutable std::atomic<std::size_t> next_{0};
};

// Over how long the goodbye to so many streams is spread when there is so much time
// left: so that the replicas that they come back to are not overrun, and at most for
// half of the time, since the rest belongs to the streams' last words.
lifecycle::Clock::Duration GoodbyePace(int streams, lifecycle::Clock::Duration left);

}  // namespace rpc

#endif  // SERVICE_RPC_GOODBYE_SIGNAL_H_
