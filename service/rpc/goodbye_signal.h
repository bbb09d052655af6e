#ifndef SERVICE_RPC_GOODBYE_SIGNAL_H_
#define SERVICE_RPC_GOODBYE_SIGNAL_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <stop_token>

#include "service/lifecycle/clock.h"

namespace rpc {

// Tells calls that the server is leaving, so that each can end itself at a point of its own
// choosing: a stream says goodbye, an import stops where everything received is stored.
//
// This is not cancellation: a cancelled call (its context says so) has nobody left to answer; a
// call that gets this signal has.
//
// The problem: thousands of streams that end at once come back at once, to replicas that have work
// of their own. So tokens form groups, and one group is signalled after another.
//
// A call that still runs when the shutdown's budget for calls is nearly spent gets a second signal:
// it must answer now, or be cut. It then gives up waiting for a backend (backend_channel.h) in time
// to say so to its caller.
//
// Threads: all methods may be called from any thread. Callbacks registered on a token run on the
// thread that calls Announce() or DemandAnswers(), so they must not block.
// Lifetime: outlives the services and the server.
class GoodbyeSignal {
 public:
  // A token for one call. If its group was already signalled, the token is already requested.
  std::stop_token token() const {
    return groups_[next_.fetch_add(1, std::memory_order_relaxed) % groups_.size()].get_token();
  }

  // Signals every group at once. Further calls to either Announce() do nothing.
  void Announce();

  // Signals every group, spread evenly over `pace`; all remaining ones at once when patience runs
  // out.
  void Announce(lifecycle::Clock::Duration pace, lifecycle::Patience& patience);

  // Requested a moment before the calls that still run are cut. Never requested in a shutdown whose
  // calls end in time.
  std::stop_token answer_now() const { return answers_.get_token(); }

  // Requests answer_now(). Further calls do nothing.
  void DemandAnswers() { answers_.request_stop(); }

 private:
  std::array<std::stop_source, 64> groups_;
  std::stop_source answers_;
  mutable std::atomic<std::size_t> next_{0};
};

// Over how long to spread the goodbyes to `streams` when `left` is the time that is left: slowly
// enough for the replicas that the streams come back to, but at most half of the time, since the
// rest belongs to the streams' last messages.
lifecycle::Clock::Duration GoodbyePace(int streams, lifecycle::Clock::Duration left);

}  // namespace rpc

#endif  // SERVICE_RPC_GOODBYE_SIGNAL_H_
