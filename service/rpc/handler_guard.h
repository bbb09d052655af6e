#ifndef SERVICE_RPC_HANDLER_GUARD_H_
#define SERVICE_RPC_HANDLER_GUARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/impl/service_type.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/goodbye_signal.h"

namespace rpc {

// Gives a proper answer where gRPC would not: when a handler throws, when a request cannot be
// parsed, and when too many calls are running. And it lets nobody call what they may not.
//
// The problem: gRPC answers UNIMPLEMENTED without a message, and logs nothing, when a handler of
// the callback API throws or its request cannot be parsed; and it does not limit the calls that it
// passes to handlers.
//
// Guarantees, for the callback and the synchronous API, unary calls and streams:
// - a handler that throws before it has returned (its reactor, with the callback API), or an
//   `authorize` that throws: INTERNAL, and a log line with what was thrown, for each method
// - a call whose Answer (unary.h) is dropped: UNAVAILABLE, and a log line
// - a request that cannot be parsed: INVALID_ARGUMENT, and a log line
// - a call above the limit: RESOURCE_EXHAUSTED with RetryInfo, without parsing its request, and a
//   log line
// - a call that `authorize` does not allow: its answer; the handler is not called, whatever the
//   handler's type, and its request has been parsed
//
// Not covered: services of the asynchronous (completion queue) and generic APIs, which have no
// handlers that gRPC calls; and what a reactor throws later, or later messages of a stream, unless
// the reactor is one of stream.h or unary.h, which know this guard (guarded_method.h).
//
// It uses private parts of gRPC: grpc_handler.h. What a handler of a type that is not known there
// throws goes to gRPC.
//
// Cost: one or two virtual calls and a comparison for each call.
//
// Threads: Install(), Stop() and the destructor: while none of its services is served. The rest: any.
// Lifetime: the services may outlive it. A service shared by two servers is guarded by the first
// one until that is stopped.
class HandlerGuard {
 public:
  // Receives the status with which a call ends, before it does, unless its handler finishes a
  // reactor of its own. That of a unary call is looked at when the handler returns, if the call has a
  // span (calls/trace.h); what it reports itself is then received twice. `call`: its
  // grpc::ServerContextBase.
  using Answered = std::function<void(const void* call, int status)>;

  // Whether a call of `method`, "/orders.v1.OrdersService/GetOrder", is allowed: OK. May throw.
  using Authorize = std::function<grpc::Status(const std::string& method,
                                               const grpc::ServerContextBase& context)>;

  // All are called for each call, and must be quick. Without `authorize` every call is allowed.
  // `goodbye` is that of the server, for streams (stream.h), and outlives the guard; null: they get
  // none.
  HandlerGuard(std::function<bool()> overloaded, const LimitLog::Write& write,
               Answered answered = {}, Authorize authorize = {},
               const GoodbyeSignal* goodbye = nullptr);
  ~HandlerGuard() { Stop(); }
  HandlerGuard(const HandlerGuard&) = delete;
  HandlerGuard& operator=(const HandlerGuard&) = delete;

  // Call it before the service is registered, and after its message allocators are set.
  void Install(grpc::Service& service);

  // Guards no call any more; another one may guard its services now.
  void Stop();

  // The names of the services that it was installed in, "orders.v1.OrdersService".
  const std::vector<std::string>& services() const { return services_; }

  // The methods that are guarded, "/orders.v1.OrdersService/GetOrder".
  const std::vector<std::string>& methods() const { return methods_; }

  // How many calls got each of these answers.
  std::int64_t failed() const;
  std::int64_t undecodable() const;
  std::int64_t refused() const;

  // The logs of these answers. Requires: everything is installed.
  void ForEachLog(const std::function<void(LimitLog&)>& use);

  struct State;

 private:
  const std::shared_ptr<State> state_;  // Shared with the handlers.
  std::vector<std::string> services_;
  std::vector<std::string> methods_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_HANDLER_GUARD_H_
