#ifndef SERVICE_RPC_DRAIN_SIGNAL_H_
#define SERVICE_RPC_DRAIN_SIGNAL_H_

#include <stop_token>

namespace rpc {

// Tells a call that the server is draining, so that it can end itself at a point
// of its own choosing: a stream says goodbye, an import stops where all is stored.
//
// This is not cancellation: a call that is cancelled (its context tells) has
// nobody left to answer to; a call that is draining has.
//
// Threads: all methods may be called from any thread. Callbacks registered on a
// token run on the thread that calls Announce(), so they must not block.
// Lifetime: outlives the services and the server.
class DrainSignal {
 public:
  // One token per call. Also after Announce(): it is then requested already.
  std::stop_token token() const { return source_.get_token(); }

  // Signals every token. Further calls do nothing.
  void Announce() { source_.request_stop(); }

 private:
  std::stop_source source_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_DRAIN_SIGNAL_H_
