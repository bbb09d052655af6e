#ifndef SERVICE_RPC_UNARY_H_
#define SERVICE_RPC_UNARY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/handler_failures.h"
#include "service/rpc/status.h"
#include "service/rpc/trace.h"

namespace rpc {

// Unary handlers are functions from a request to `absl::StatusOr<Response>`. A service's method
// passes its arguments and that function to one of these:
//
//   grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
//                                      const v1::GetOrderRequest* request,
//                                      v1::GetOrderResponse* response) override {
//     return rpc::AnswerFromPool(pool_, context, request, response,
//                                [this](const v1::GetOrderRequest& request, const rpc::Call&) {
//                                  return Get(request);
//                                });
//   }
//
//   AnswerNow()        the function does not block
//   AnswerFromPool()   it blocks, and runs in the pool, unless its caller has stopped waiting when
//                      its turn comes; when the pool is full, the caller gets RESOURCE_EXHAUSTED
//                      and is told when to try again
//   AnswerLater()      it starts something that ends elsewhere, and passes its Answer on
//
// An exception is answered with INTERNAL and logged. ToGrpc() converts statuses.

// The call that a handler answers.
//
// Lifetime: may be used until the call is answered.
class Call {
 public:
  explicit Call(const grpc::CallbackServerContext& context) : context_(&context) {}

  const grpc::CallbackServerContext& context() const { return *context_; }

  // CANCELLED or DEADLINE_EXCEEDED when the caller no longer waits for the answer; else OK.
  absl::Status Abandoned() const;

  // When the caller stops waiting; TimePoint::max() when it set no deadline.
  lifecycle::Clock::TimePoint deadline() const;

  // deadline(), or `limit` from now if that is earlier.
  lifecycle::Clock::TimePoint DeadlineWithin(lifecycle::Clock::Duration limit) const;

 private:
  const grpc::CallbackServerContext* context_;
};

// Answers one call. Copies answer the same call, which is answered once. When the last copy is
// destroyed without an answer, the caller gets UNAVAILABLE.
//
// Threads: all methods may be called from any thread.
template <typename Response>
class Answer {
 public:
  // Requires: it is constructed in the handler.
  Answer(grpc::ServerUnaryReactor& reactor, Response& response)
      : call_(std::make_shared<Unanswered>(reactor, response)) {}

  // Answers. Requires: the call is not answered yet, and its request and context are no longer
  // used.
  void operator()(absl::StatusOr<Response> response) const {
    lifecycle::Require(call_->Claim(), "a call is answered once");
    if (response.ok()) *call_->response = *std::move(response);
    call_->Finish(response.status());
  }

  // Answers with the result of `handler`; with INTERNAL when it throws.
  template <typename Handler>
  void From(Handler handler) const {
    absl::StatusOr<Response> response = absl::InternalError("the handler failed");
    const Trace::Scope scope(call_->trace);
    static_cast<void>(call_->failures->Survives([&] { response = handler(); }));
    (*this)(std::move(response));
  }

  // Runs `begin`, which has a copy of this; answers INTERNAL when it throws without having answered.
  void IfThrown(const std::function<void()>& begin) const {
    if (!call_->failures->Survives(begin)) call_->TryFinish(absl::InternalError("it failed"));
  }

 private:
  struct Unanswered {
    Unanswered(grpc::ServerUnaryReactor& answered_by, Response& answer)
        : reactor(&answered_by), response(&answer) {}
    ~Unanswered() { TryFinish(absl::UnavailableError("the call was given up; try again")); }
    // Before anything of the call is touched: once it is answered, it may be gone.
    bool Claim() { return !answered.exchange(true); }
    void TryFinish(const absl::Status& status) {
      if (Claim()) Finish(status);
    }
    void Finish(const absl::Status& status) {
      grpc::Status answer = ToGrpc(status);
      failures->Answered(call, answer.error_code());
      reactor->Finish(std::move(answer));
    }

    grpc::ServerUnaryReactor* const reactor;
    Response* const response;  // gRPC's; gone once the call is answered.
    const std::shared_ptr<HandlerFailures> failures = HandlerFailures::Current();
    const void* const call = HandlerFailures::CurrentCall();
    const std::optional<Trace> trace = Trace::Current();
    std::atomic<bool> answered{false};
  };

  std::shared_ptr<Unanswered> call_;
};

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerNow(grpc::CallbackServerContext* context, const Request* request,
                                    Response* response, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Answer<Response>(*reactor, *response).From([&] { return handler(*request, Call(*context)); });
  return reactor;
}

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerLater(grpc::CallbackServerContext* context, const Request* request,
                                      Response* response, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const Answer<Response> answer(*reactor, *response);
  answer.IfThrown([&] { handler(*request, Call(*context), answer); });
  return reactor;
}

// As the next one, for a reactor other than the default one.
template <typename Request, typename Response, typename Handler>
void AnswerFromPool(BlockingPool& pool, grpc::ServerUnaryReactor& reactor,
                    const grpc::CallbackServerContext& context, const Request& request,
                    Response& response, Handler handler) {
  const Answer<Response> answer(reactor, response);
  const bool taken =
      pool.Run([answer, call = Call(context), &request, handler = std::move(handler)] {
        if (absl::Status gone = call.Abandoned(); !gone.ok()) return answer(std::move(gone));
        answer.From([&] { return handler(request, call); });
      });
  if (!taken) answer(Overloaded(std::string(Response::descriptor()->file()->package())));
}

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerFromPool(BlockingPool& pool, grpc::CallbackServerContext* context,
                                         const Request* request, Response* response,
                                         Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  AnswerFromPool(pool, *reactor, *context, *request, *response, std::move(handler));
  return reactor;
}

}  // namespace rpc

#endif  // SERVICE_RPC_UNARY_H_
