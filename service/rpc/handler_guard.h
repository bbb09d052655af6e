#ifndef SERVICE_RPC_HANDLER_GUARD_H_
#define SERVICE_RPC_HANDLER_GUARD_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "grpcpp/impl/service_type.h"
#include "service/rpc/limit_log.h"

namespace rpc {

// Answers, in place of a service's handlers, what they cannot.
//
// The problem: gRPC answers UNIMPLEMENTED without words, and logs nothing, when a handler
// of the callback API throws or its request cannot be parsed; and it has no limit of the
// calls that it hands to handlers.
//
// Guarantees, for the callback and the synchronous API, unary calls and streams:
//   - a handler that throws before it has returned (its reactor, of the callback API):
//     INTERNAL, and a line with the method and what was thrown
//   - a request that cannot be parsed: INVALID_ARGUMENT, and a line
//   - a call above the limit: RESOURCE_EXHAUSTED without its request having been parsed,
//     and a line
//
// Not covered: services of the asynchronous (completion queue) and generic APIs, which have
// no handlers that gRPC calls; what a reactor's later reactions throw, which gRPC drops; and
// later messages of a stream, of which gRPC says only that there is none.
//
// What it uses: a method's handler is private (grpcpp/impl/rpc_service_method.h), and so is
// the function in it that calls the service (support/method_handler.h,
// impl/server_callback_handlers.h); they are replaced through pointers to members, which
// do not compile where they have other names. The handlers' types are those of the
// messages, which are not known here: they are used as if they were of bytes, as all of
// these templates hold pointers to messages only. What is not of the expected type is left
// as it is.
//
// Cost: a virtual call or two and a comparison for each call.
//
// Threads: Install() and the destructor: while none of its services is served. The rest any.
// Lifetime: the services may live longer. A service that two servers share is guarded by the
// first, until that is gone.
class HandlerGuard {
 public:
  // Overloaded: asked for each call; must be quick.
  HandlerGuard(std::function<bool()> overloaded, const LimitLog::Write& write);
  ~HandlerGuard();
  HandlerGuard(const HandlerGuard&) = delete;
  HandlerGuard& operator=(const HandlerGuard&) = delete;

  // Before the service is registered, and after its message allocators are set.
  void Install(grpc::Service& service);

  // How many calls were answered in each of these ways.
  std::int64_t failed() const;
  std::int64_t undecodable() const;
  std::int64_t refused() const;

  struct State;

 private:
  const std::shared_ptr<State> state_;  // Shared with the handlers.
};

}  // namespace rpc

#endif  // SERVICE_RPC_HANDLER_GUARD_H_
