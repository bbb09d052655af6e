#ifndef SERVICE_RPC_UNARY_H_
#define SERVICE_RPC_UNARY_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"

namespace rpc {

// A unary handler is a function that fills the response and returns an absl::Status. A service's
// method passes it, with the method's own arguments in it, to one of these:
//
//   grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
//                                      const v1::GetOrderRequest* request,
//                                      v1::GetOrderResponse* response) override {
//     return rpc::AnswerFromPool(pool_, context, [=, this] {
//       return store_.Read(request->order_id(), *response->mutable_order());
//     });
//   }
//
//   AnswerNow()        the function does not block
//   AnswerFromPool()   it blocks, and runs in the pool, unless its caller has stopped waiting when
//                      its turn comes; when the pool is full, the caller gets RESOURCE_EXHAUSTED
//                      and is told when to try again
//   AnswerLater()      it starts something that ends elsewhere, and passes its Answer on
//
// The function, or what it starts, runs when the method has returned, except in AnswerNow(). So capture by
// value, as above: what `[&]` refers to, the method's own parameters among it, is gone by then. What
// `context`, `request` and `response` point to is there until the call is answered. The response is sent
// with OK only.
// An exception is logged, and answered with INTERNAL, unless the Answer has been passed on: then it is
// up to whoever has it. ToGrpc() converts statuses.

// The call that a handler answers.
//
// Lifetime: may be used until the call is answered.
class Call {
 public:
  // Implicit, so that a handler passes `*context` on.
  Call(const grpc::CallbackServerContext& context) : context_(&context) {}

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

namespace unary_internal {

// Runs `work`. If that throws, runs `drop`, which lets go of what it has left behind: calls of which
// an Answer goes with it have failed, and if nobody else answers them, their callers get INTERNAL. So
// have streams of which the last copy of a hold goes with it.
void RunOrFail(GuardedMethod& method, const std::function<void()>& work,
               const std::function<void()>& drop);

// A call that is answered once. When it is destroyed without an answer, the caller gets UNAVAILABLE;
// INTERNAL, where work has thrown that had a copy (GuardedMethod::Failing).
class Unanswered {
 public:
  // Requires: it is constructed in the handler.
  explicit Unanswered(grpc::ServerUnaryReactor& reactor) : reactor_(reactor) {}
  ~Unanswered();
  Unanswered(const Unanswered&) = delete;
  Unanswered& operator=(const Unanswered&) = delete;

  // Requires: it is not answered yet.
  void Answer(const absl::Status& status) {
    Claim();
    Finish(status);
  }
  // The same in two steps, between which the response is filled: once the call is answered, it may
  // be gone.
  void Claim();
  void Finish(const absl::Status& status);

  // A copy of its Answer is let go.
  void LetGo();

  // Answers with what `handler` returns; with INTERNAL when it throws.
  template <typename Handler>
  void AnswerWith(const Handler& handler) {
    static_assert(std::is_assignable_v<absl::Status&, std::invoke_result_t<const Handler&>>,
                  "a handler returns an absl::Status; of a grpc::Status, FromGrpc() makes one");
    absl::Status status;
    const Trace::Scope scope(trace_);
    const GuardedMethod::Running running(method_, call_);
    const bool returned = method_->Survives([&] { status = handler(); });
    Answer(returned ? status : absl::InternalError("the handler failed"));
  }

  std::string package() const { return method_->Package(); }

 private:
  grpc::ServerUnaryReactor& reactor_;
  const std::shared_ptr<GuardedMethod> method_ = GuardedMethod::Current();
  const GuardedMethod::RunningCall call_ = GuardedMethod::CurrentCall();
  const std::optional<Trace> trace_ = Trace::Current();
  std::atomic<bool> answered_{false};
  std::atomic<bool> failed_{false};  // Where an Answer was dropped.
};

}  // namespace unary_internal

// Answers one call. Copies answer the same call, which is answered once. When the last copy is
// destroyed without an answer, the caller gets UNAVAILABLE, and the log names the method; INTERNAL, when
// work in a pool that has captured one has thrown, or what a backend's answer is passed to.
//
// Threads: all methods may be called from any thread.
template <typename Response>
class Answer {
 public:
  // For AnswerLater().
  Answer(std::shared_ptr<unary_internal::Unanswered> call, Response& response)
      : call_(std::move(call)), response_(&response) {}
  ~Answer() {
    if (call_ != nullptr) call_->LetGo();
  }
  Answer(const Answer&) = default;
  Answer& operator=(const Answer&) = default;
  Answer(Answer&&) = default;
  Answer& operator=(Answer&&) = default;

  // These two require: the call is not answered yet, and the method's arguments are no longer used.
  //
  // OK: with the method's response, which is filled.
  void operator()(const absl::Status& status) const { call_->Answer(status); }
  // With this response, such as a backend's.
  void operator()(absl::StatusOr<Response> response) const {
    call_->Claim();
    if (response.ok()) *response_ = *std::move(response);
    call_->Finish(response.status());
  }

 private:
  std::shared_ptr<unary_internal::Unanswered> call_;
  Response* response_;  // gRPC's; gone once the call is answered.
};

template <typename Handler>
grpc::ServerUnaryReactor* AnswerNow(grpc::CallbackServerContext* context, Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  unary_internal::Unanswered(*reactor).AnswerWith(handler);
  return reactor;
}

// `handler` gets an Answer<Response>.
template <typename Response, typename Handler>
grpc::ServerUnaryReactor* AnswerLater(grpc::CallbackServerContext* context, Response* response,
                                      Handler handler) {
  static_assert(std::is_void_v<std::invoke_result_t<Handler&, const Answer<Response>&>>,
                "a handler that answers later says nothing by returning: give it to the Answer");
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  std::optional<Answer<Response>> answer(
      std::in_place, std::make_shared<unary_internal::Unanswered>(*reactor), *response);
  unary_internal::RunOrFail(
      *GuardedMethod::Current(), [&] { handler(std::as_const(*answer)); }, [&] { answer.reset(); });
  return reactor;
}

// As the next one, for a reactor other than the default one.
template <typename Handler>
void AnswerFromPool(BlockingPool& pool, grpc::ServerUnaryReactor& reactor, const Call& call,
                    Handler handler) {
  const auto unanswered = std::make_shared<unary_internal::Unanswered>(reactor);
  const bool taken = pool.Run([unanswered, call, handler = std::move(handler)] {
    if (const absl::Status gone = call.Abandoned(); !gone.ok()) return unanswered->Answer(gone);
    unanswered->AnswerWith(handler);
  });
  if (!taken) unanswered->Answer(Overloaded(unanswered->package()));
}

template <typename Handler>
grpc::ServerUnaryReactor* AnswerFromPool(BlockingPool& pool, grpc::CallbackServerContext* context,
                                         Handler handler) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  AnswerFromPool(pool, *reactor, *context, std::move(handler));
  return reactor;
}

}  // namespace rpc

#endif  // SERVICE_RPC_UNARY_H_
