#ifndef SERVICE_RPC_CONNECTIONS_GOAWAY_H_
#define SERVICE_RPC_CONNECTIONS_GOAWAY_H_

#include <atomic>
#include <memory>
#include <optional>

#include "grpcpp/alarm.h"
#include "grpcpp/server.h"

namespace rpc {

// Sends a GOAWAY on every connection of a server that keeps serving.
//
// The problem: a client leaves a connection without losing a call only if it is told to before the
// server refuses anything (RFC 9113, section 6.8: a GOAWAY with the highest stream id, then a
// second one once a PING was acknowledged). gRPC does this by itself when a connection reaches its
// maximum age; Shutdown() refuses calls at the same time.
//
// It uses grpc_core::Server::SendGoaways() (grpc/grpc: src/core/lib/surface/server.cc, later
// src/core/server/server.cc), which is exported but not public. The symbol is referenced weakly, so
// a gRPC without it still links, and Available() says so. docs/decisions/0004-goaway-at-will.md has
// the measured alternatives.
//
// Threads: one at a time.
// Lifetime: `server` outlives it, and so every round. It may have been shut down: a round that begins
// or goes on after Shutdown() has returned finds the connections that are left, or none.
class GoawaySender {
 public:
  explicit GoawaySender(grpc::Server& server);
  // Requires: Idle().
  ~GoawaySender();
  GoawaySender(const GoawaySender&) = delete;
  GoawaySender& operator=(const GoawaySender&) = delete;

  // Whether the linked gRPC can do it.
  static bool Available();

  // Begins one round over all connections on a gRPC thread, and returns at once. Connections that
  // have begun to leave ignore it, so it may be repeated, and must be: a connection whose handshake
  // ends later has missed earlier rounds. Does nothing while the last round is under way, or when
  // it is not available.
  void Send();

  // Whether no round is under way. False for long means that gRPC's threads are blocked.
  bool Idle() const;

 private:
  grpc::Server& server_;
  // Shared with the round, which clears it last.
  const std::shared_ptr<std::atomic<bool>> under_way_;
  std::optional<grpc::Alarm> alarm_;  // Of the last round: an alarm cannot be set twice.
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_GOAWAY_H_
