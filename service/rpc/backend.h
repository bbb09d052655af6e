#ifndef SERVICE_RPC_BACKEND_H_
#define SERVICE_RPC_BACKEND_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "service/rpc/backend_channel.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/reachability.h"
#include "service/rpc/status.h"
#include "service/rpc/unary.h"

namespace rpc {

// A backend service whose methods are called in one expression:
//
//   rpc::Backend<InventoryService> inventory({.target = "inventory:50052"}, log);
//   inventory.Call(&InventoryService::Stub::async::Reserve, call, request, done);
//
// It does what BackendChannel requires of its users: each call has a stub and a context with
// deadline, retries and cancellation, and both are released before `done` is called, so that Close()
// does not wait for `done`. Logs when the backend becomes reachable or unreachable. Passes the
// caller's trace on.
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives every call's `done`.
template <typename Service>
class Backend {
 public:
  // A pointer to a method of the generated asynchronous stub: &Service::Stub::async::Method.
  template <typename Async, typename Request, typename Response>
  using Method = void (Async::*)(grpc::ClientContext*, const Request*, Response*,
                                 std::function<void(grpc::Status)>);

  template <typename Response>
  using Done = std::function<void(absl::StatusOr<Response>)>;

  // Sets `options.service`. `log` receives lines about reachability, and about what a `done` without a
  // caller throws; must not block.
  Backend(BackendChannel::Options options, Reachability::Write log)
      : without_caller_(GuardedMethod::Logging([log](const std::string& what) {
          log(absl::StrCat("what was to be done with a backend's answer failed: ", what));
        })),
        configured_(!options.target.empty()),
        reachability_(options.target, std::move(log)),
        channel_(Named(std::move(options))) {}

  // Calls on behalf of `caller`, whose deadline and cancellation apply to the call. Does not block.
  // `done` is called once: on one of gRPC's threads, or, when the backend is closed or has no target, at
  // once with UNAVAILABLE.
  //
  // It gets UNAVAILABLE for CANCELLED, too, whoever has cancelled the call: `answer_now`, Close(), or the
  // backend, as it stops (grpc/grpc#41785). A caller who still waits has cancelled nothing, and few try
  // such a call again; one who does not wait is told nothing. DEADLINE_EXCEEDED: the caller's, or after
  // `timeout`, which the caller cannot tell from its own; it is not known whether trying again helps.
  //
  // If it throws, this is logged and counted as if the caller's handler had (but see below),
  // and `done` is dropped: the caller of a unary call gets INTERNAL, unless `done` has passed its Answer on. So
  // does that of a stream whose last hold is in it (StreamHold).
  //
  // The handler is known in it, in what it has left to unary.h and stream.h, and in the `done` of
  // another call. From elsewhere, such as a stream's own work in a pool, what `done` throws is only
  // logged.
  template <typename Async, typename Request, typename Response, typename Function>
  void Call(Method<Async, Request, Response> method, const rpc::Call& caller,
            std::type_identity_t<Request> request, Function done) {
    RequireThatItAnswers<Response, Function>();
    Begin(method, channel_.NewContext(caller.context()), std::move(request),
          [done = std::move(done)](absl::StatusOr<Response> answer) mutable {
            if (absl::IsCancelled(answer.status())) {
              answer = absl::UnavailableError("the call to a backend was given up; try again");
            }
            done(std::move(answer));
          });
  }

  // The same without a caller; cancelled when a stop is requested of `give_up`. As long as the backend
  // does not read, gRPC does not end the call, so that `done` comes later.
  template <typename Async, typename Request, typename Response, typename Function>
  void Call(Method<Async, Request, Response> method, std::stop_token give_up,
            std::type_identity_t<Request> request, Function done) {
    RequireThatItAnswers<Response, Function>();
    Begin(method, channel_.NewContext(std::move(give_up)), std::move(request), std::move(done));
  }

  // See BackendChannel.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const {
    return channel_.AwaitConnected(deadline);
  }
  absl::Status Close(lifecycle::Clock::TimePoint deadline) { return channel_.Close(deadline); }

  // See Reachability.
  void SaidUnreachable() { reachability_.SaidUnreachable(); }

 private:
  template <typename Request, typename Response>
  struct Running {
    std::unique_ptr<typename Service::Stub> stub;
    std::shared_ptr<grpc::ClientContext> context;
    Request request;
    Response response;
  };

  template <typename Response, typename Function>
  static void RequireThatItAnswers() {
    static_assert(std::is_void_v<std::invoke_result_t<Function&, absl::StatusOr<Response>>>,
                  "`done` says nothing by returning: give it to the Answer");
  }

  static BackendChannel::Options Named(BackendChannel::Options options) {
    options.service = Service::service_full_name();
    return options;
  }

  template <typename Async, typename Request, typename Response>
  void Begin(Method<Async, Request, Response> method, std::shared_ptr<grpc::ClientContext> context,
             std::type_identity_t<Request> request, std::type_identity_t<Done<Response>> done) {
    std::shared_ptr<GuardedMethod> handler = GuardedMethod::CurrentOr(without_caller_);
    const std::shared_ptr<grpc::Channel> channel = channel_.channel();
    if (channel == nullptr) {
      return Tell<Response>(handler, done,
                            absl::UnavailableError(configured_ ? "the backend's channel is closed"
                                                               : "no backend is configured"));
    }
    auto call = std::make_shared<Running<Request, Response>>();
    call->stub = Service::NewStub(channel);
    call->context = std::move(context);
    call->request = std::move(request);
    (call->stub->async()->*method)(
        call->context.get(), &call->request, &call->response,
        [this, call, done = std::move(done), handler = std::move(handler),
         trace = Trace::Current()](grpc::Status status) mutable {
          const Trace::Scope scope(trace);
          reachability_.Heard(status);
          call->context.reset();
          call->stub.reset();
          if (!status.ok()) return Tell<Response>(handler, done, FromGrpc(status));
          Tell<Response>(handler, done, std::move(call->response));
        });
  }

  template <typename Response>
  static void Tell(const std::shared_ptr<GuardedMethod>& handler, Done<Response>& done,
                   absl::StatusOr<Response> answer) {
    const GuardedMethod::Running running(handler);
    unary_internal::RunOrFail(
        *handler, [&] { done(std::move(answer)); }, [&] { done = nullptr; });
  }

  const std::shared_ptr<GuardedMethod> without_caller_;
  const bool configured_;  // There is a backend.
  Reachability reachability_;
  BackendChannel channel_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_H_
