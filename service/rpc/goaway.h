#ifndef SERVICE_RPC_GOAWAY_H_
#define SERVICE_RPC_GOAWAY_H_

#include <atomic>
#include <memory>
#include <optional>

#include "grpcpp/alarm.h"
#include "grpcpp/server.h"

namespace rpc {

// Sends GOAWAY on every connection of a server that goes on serving.
//
// The problem: a client leaves a connection without losing a call only when it is told
// so before the server refuses anything (RFC 9113, section 6.8: GOAWAY with the highest
// stream id, then a second one once a PING has come back). gRPC does this by itself when
// a connection reaches its maximum age; in Shutdown() it refuses at the same time.
//
// What it uses: grpc_core::Server::SendGoaways() (grpc/grpc: src/core/lib/surface/server.cc,
// later src/core/server/server.cc), which is exported but not public. It is looked up
// weakly, by its symbol, so a gRPC without it links, and Available() says so.
// docs/decisions/0004-goaway-at-will.md has the alternatives that were measured.
//
// Threads: one at a time.
// Lifetime: `server` outlives it, and its Shutdown() has not returned while a round is under way.
class GoawaySender {
 public:
  explicit GoawaySender(grpc::Server& server);
  // Requires: Idle().
  ~GoawaySender();
  GoawaySender(const GoawaySender&) = delete;
  GoawaySender& operator=(const GoawaySender&) = delete;

  // Whether the gRPC that is linked can do it.
  static bool Available();

  // Begins one round over all connections on a thread of gRPC's, and returns at once.
  // Connections that have begun to leave take no notice, so this may be repeated, and
  // must be: a connection whose handshake ends later has heard of none before. Does nothing
  // while the last round is under way, or when it is not available.
  void Send();

  // No round is under way. False for long means that gRPC's threads are blocked.
  bool Idle() const;

 private:
  grpc::Server& server_;
  // Shared with the round, which clears it as the last thing it does.
  const std::shared_ptr<std::atomic<bool>> under_way_;
  std::optional<grpc::Alarm> alarm_;  // Of the last round: one cannot be set twice.
};

}  // namespace rpc

#endif  // SERVICE_RPC_GOAWAY_H_
