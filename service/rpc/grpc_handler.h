#ifndef SERVICE_RPC_GRPC_HANDLER_H_
#define SERVICE_RPC_GRPC_HANDLER_H_

#include <functional>
#include <memory>
#include <vector>

#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/support/status.h"

namespace rpc {

// The handler that gRPC has generated for a method, and what HandlerGuard has to do inside of it:
// see what the method's function throws and answers, and answer instead of it.
//
// The problem: gRPC lets nobody between a handler and the function of the service that it calls.
//
// It uses private parts of gRPC: a method's handler (grpcpp/impl/rpc_service_method.h) and the
// function in it that calls the service (support/method_handler.h,
// impl/server_callback_handlers.h). They are replaced through pointers to members, which do not
// compile where they have other names. The handlers are templates over message types that are not
// known here; they are used as if the messages were bytes, since these templates hold only pointers
// to messages. A handler of a type that is not known here is left unchanged: `threw` and `ended` are
// never called.
//
// Threads: as gRPC uses a handler: any, after the constructor.
class GrpcHandler {
 public:
  using Parameter = grpc::internal::MethodHandler::HandlerParameter;

  // What to answer, since the method's function has thrown this. On its thread.
  using Threw = std::function<grpc::Status(const char* what)>;
  // The method's function has returned, and has ended the call with this status. Told only of a
  // unary call of the callback API that has a span (calls/trace.h) which does not know it.
  using Ended = std::function<void(int status)>;

  // `callback`: the method is of the callback API; otherwise of the synchronous one.
  GrpcHandler(std::unique_ptr<grpc::internal::MethodHandler> handler, bool callback, Threw threw,
              Ended ended);

  // As MethodHandler::Deserialize(), of a call with one request.
  void* Deserialize(grpc_call* call, grpc_byte_buffer* request, grpc::Status* status, void** data) {
    return handler_->Deserialize(call, request, status, data);
  }

  // Calls the method's function. Requires: the call is announced on this thread (guarded_method.h).
  void Run(const Parameter& parameter) { handler_->RunHandler(parameter); }
  // Answers instead. The request, if any, has been parsed.
  void Refuse(const Parameter& parameter, const grpc::Status& answer);
  // Answers instead. There is no request, or it could not be parsed.
  void End(const Parameter& parameter, const grpc::Status& answer) const;

 private:
  const std::unique_ptr<grpc::internal::MethodHandler> handler_;
  const bool callback_;
  const bool known_;  // Its type.
};

// The methods of a service. Null: it is generic.
const std::vector<std::unique_ptr<grpc::internal::RpcServiceMethod>>& MethodsOf(
    grpc::Service& service);

// The handler of a method, to be replaced. Null: the method is of the asynchronous API.
std::unique_ptr<grpc::internal::MethodHandler>& HandlerOf(grpc::internal::RpcServiceMethod& method);

}  // namespace rpc

#endif  // SERVICE_RPC_GRPC_HANDLER_H_
