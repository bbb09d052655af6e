#ifndef SERVICE_RPC_UNARY_H_
#define SERVICE_RPC_UNARY_H_

#include <atomic>
#include <functional>
#include <memory>
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

// What unary handlers are made of: a method of a service hands what it was given, and a
// function from the request to `absl::StatusOr<Response>`, to one of these:
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
//   AnswerFromPool()   it does: it runs in the pool, unless nobody waits for it any more when
//                      its turn comes; when the pool is full, the caller is told
//                      RESOURCE_EXHAUSTED, and when to try again
//   AnswerLater()      it begins something that ends elsewhere, and hands its Answer on
//
// What throws is answered with INTERNAL, and is a line in the log. Statuses are converted
// by ToGrpc().

// The call that is answered.
//
// Lifetime: what it tells is there until the call is answered.
class Call {
 public:
  explicit Call(const grpc::CallbackServerContext& context) : context_(&context) {}

  const grpc::CallbackServerContext& context() const { return *context_; }

  // CANCELLED, DEADLINE_EXCEEDED: nobody waits for the answer any more.
  absl::Status Abandoned() const;

  // When the caller stops waiting; the end of time when it does not say.
  lifecycle::Clock::TimePoint deadline() const;

  // deadline(), or `limit` from now if that is earlier.
  lifecycle::Clock::TimePoint DeadlineWithin(lifecycle::Clock::Duration limit) const;

 private:
  const grpc::CallbackServerContext* context_;
};

// Answers one call. Copies answer the same call: one of them, once. When the last one is
// gone and none has answered, the caller is told UNAVAILABLE.
//
// Threads: all methods may be called from any thread.
template <typename Response>
class Answer {
 public:
  // In a handler.
  Answer(grpc::ServerUnaryReactor& reactor, Response& response)
      : call_(std::make_shared<Unanswered>(reactor, response)) {}

  // Answers. Requires: nobody has, the handler's request and context are not used any more.
  void operator()(absl::StatusOr<Response> response) const {
    if (response.ok()) *call_->response = *std::move(response);
    call_->Finish(response.status());
  }

  // Answers with what `handler` returns; with INTERNAL when it throws.
  template <typename Handler>
  void From(Handler handler) const {
    absl::StatusOr<Response> response = absl::InternalError("the handler failed");
    const Trace::Scope scope(call_->trace);
    static_cast<void>(call_->failures->Survives([&] { response = handler(); }));
    (*this)(std::move(response));
  }

  // Runs `begin`, which has a copy; answers INTERNAL when that throws and has not answered.
  void IfThrown(const std::function<void()>& begin) const {
    if (!call_->failures->Survives(begin)) call_->TryFinish(absl::InternalError("it failed"));
  }

 private:
  struct Unanswered {
    Unanswered(grpc::ServerUnaryReactor& answered_by, Response& answer)
        : reactor(&answered_by), response(&answer) {}
    ~Unanswered() { TryFinish(absl::UnavailableError("the call was given up; try again")); }
    void Finish(const absl::Status& status) {
      lifecycle::Require(TryFinish(status), "a call is answered once");
    }
    bool TryFinish(const absl::Status& status) {
      if (answered.exchange(true)) return false;
      grpc::Status answer = ToGrpc(status);
      failures->Answered(call, answer.error_code());
      reactor->Finish(std::move(answer));
      return true;
    }

    grpc::ServerUnaryReactor* const reactor;
    Response* const response;  // The call's, so gone once it is answered.
    const std::shared_ptr<HandlerFailures> failures = HandlerFailures::Current();
    const void* const call = HandlerFailures::CurrentCall();
    const std::shared_ptr<const Trace> trace = Trace::Current();
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

// The same as the next one, for a reactor of one's own.
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
