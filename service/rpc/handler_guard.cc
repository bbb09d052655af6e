#include "service/rpc/handler_guard.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "grpc/byte_buffer.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/support/status.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/grpc_handler.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"

namespace rpc {

struct HandlerGuard::State {
  State(std::function<bool()> is_overloaded, LimitLog::Write write_line,
        HandlerGuard::Answered is_answered, HandlerGuard::Authorize may_call,
        const GoodbyeSignal* goodbye_of_server)
      : overloaded(std::move(is_overloaded)),
        answered(std::move(is_answered)),
        authorize(std::move(may_call)),
        goodbye(goodbye_of_server),
        write(std::move(write_line)),
        dropped("a call was given up without an answer: its Answer was dropped", write),
        undecodable("a request could not be parsed", write),
        refused("refused a call: too many calls in flight", write) {}

  // That of what this method's handler throws, and of resume points that no caller can be given.
  // Requires: nothing is served yet.
  LimitLog& FailuresOf(const std::string& method) {
    return failures.try_emplace(method, "a handler failed", write).first->second;
  }

  const std::function<bool()> overloaded;
  const HandlerGuard::Answered answered;
  const HandlerGuard::Authorize authorize;
  const GoodbyeSignal* const goodbye;  // Null: nobody says it.
  std::atomic<bool> over{false};       // The guard was stopped.
  const LimitLog::Write write;
  std::atomic<std::int64_t> failed{0};
  std::map<std::string, LimitLog> failures;  // By method: one that fails often hides no other.
  LimitLog dropped;
  LimitLog undecodable;
  LimitLog refused;
};

namespace {

using grpc::internal::MethodHandler;
using grpc::internal::RpcServiceMethod;

// "orders.v1" of "/orders.v1.OrdersService/GetOrder".
std::string PackageOf(const std::string& method) {
  const std::size_t end = method.rfind('.', method.rfind('/'));
  return end == std::string::npos || end == 0 ? "" : method.substr(1, end - 1);
}

// "orders.v1.OrdersService".
std::string ServiceOf(const std::string& method) { return method.substr(1, method.rfind('/') - 1); }

class Method final : public GuardedMethod {
 public:
  Method(std::string name, std::shared_ptr<HandlerGuard::State> state)
      : name_(std::move(name)), state_(std::move(state)), failures_(state_->FailuresOf(name_)) {}

  void Threw(const std::string& what) override {
    constexpr std::size_t kMost = 200;
    if (state_->over) return;
    const std::string shown = absl::CHexEscape(what.substr(0, kMost));
    ++state_->failed;
    failures_.Count(absl::StrCat(name_, ": ", shown));
  }
  void Dropped() override {
    if (!state_->over) state_->dropped.Count(name_);
  }
  void Undecodable() override {
    if (!state_->over) state_->undecodable.Count(name_);
  }
  void Answered(const grpc::ServerContextBase* call, int status) override {
    if (!state_->over && call != nullptr && state_->answered) state_->answered(call, status);
  }
  std::stop_token Goodbye() const override {
    if (state_->over || state_->goodbye == nullptr) return {};
    return state_->goodbye->token();
  }
  std::string Package() const override { return PackageOf(name_); }

 private:
  const std::string name_;
  const std::shared_ptr<HandlerGuard::State> state_;
  LimitLog& failures_;
};

class GuardedHandler final : public MethodHandler {
 public:
  GuardedHandler(std::unique_ptr<MethodHandler> handler, bool callback, std::string name,
                 std::shared_ptr<HandlerGuard::State> state)
      : handler_(
            std::move(handler), callback, [this](const char* what) { return Threw(what); },
            [this](int status) { Ended(status); }),
        callback_(callback),
        name_(std::move(name)),
        refusal_(ToGrpc(rpc::Overloaded(PackageOf(name_), "too many calls in flight"))) {
    Guard(std::move(state));
  }

  bool guarded() const { return !state_->over; }

  void Guard(std::shared_ptr<HandlerGuard::State> state) {
    method_ = std::make_shared<Method>(name_, state);
    state_ = std::move(state);
  }

  // Of a call with one request, before RunHandler().
  void* Deserialize(grpc_call* call, grpc_byte_buffer* request, grpc::Status* status,
                    void** data) override {
    if (Overloaded()) [[unlikely]] {
      grpc_byte_buffer_destroy(request);
      *status = Refused();
      return nullptr;
    }
    const bool arrived = request != nullptr;  // Its caller may have cancelled.
    void* const message = handler_.Deserialize(call, request, status, data);
    if (!status->ok()) [[unlikely]]
      *status = Undecodable(arrived);
    return message;
  }

  void RunHandler(const HandlerParameter& parameter) override {
    if (!parameter.status.ok()) [[unlikely]]
      return End(parameter, parameter.status);
    // Deserialize() has not asked yet.
    if (parameter.request == nullptr && Overloaded()) [[unlikely]]
      return End(parameter, Refused());
    const GuardedMethod::Running running(method_, {parameter.server_context, parameter.call->cq()});
    // The span of a synchronous call is announced by its interceptor (calls/call_tracker.h).
    const Trace::Scope scope(callback_ ? Trace::Of(*parameter.server_context) : Trace::Current());
    if (state_->authorize) [[unlikely]]
      return RunIfAllowed(parameter);
    handler_.Run(parameter);
  }

 private:
  void RunIfAllowed(const HandlerParameter& parameter) {
    grpc::Status answer;
    const bool survived =
        method_->Survives([&] { answer = state_->authorize(name_, *parameter.server_context); });
    if (!survived) answer = Failed();
    if (answer.ok()) return handler_.Run(parameter);
    method_->Answered(parameter.server_context, answer.error_code());
    handler_.Refuse(parameter, answer);
  }

  void End(const HandlerParameter& parameter, const grpc::Status& status) const {
    method_->Answered(parameter.server_context, status.error_code());
    handler_.End(parameter, status);
  }

  // Of the method's function.
  grpc::Status Threw(const char* what) const {
    method_->Threw(what);
    Ended(grpc::StatusCode::INTERNAL);
    return Failed();
  }
  void Ended(int status) const { method_->Answered(GuardedMethod::CurrentCall().context, status); }

  // What was thrown is for us.
  static grpc::Status Failed() { return {grpc::StatusCode::INTERNAL, "the handler failed"}; }

  bool Overloaded() const { return !state_->over && state_->overloaded(); }

  grpc::Status Refused() const {
    state_->refused.Count(name_);
    return refusal_;
  }

  grpc::Status Undecodable(bool arrived) const {
    if (arrived) method_->Undecodable();
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "the request cannot be parsed as the method's request type"};
  }

  GrpcHandler handler_;
  const bool callback_;
  const std::string name_;
  const grpc::Status refusal_;  // Of a call above the limit; made once, as it must cost little.
  std::shared_ptr<HandlerGuard::State> state_;
  std::shared_ptr<GuardedMethod> method_;
};

}  // namespace

HandlerGuard::HandlerGuard(std::function<bool()> overloaded, const LimitLog::Write& write,
                           Answered answered, Authorize authorize, const GoodbyeSignal* goodbye)
    : state_(std::make_shared<State>(std::move(overloaded), write, std::move(answered),
                                     std::move(authorize), goodbye)) {}

void HandlerGuard::Stop() { state_->over = true; }

void HandlerGuard::Install(grpc::Service& service) {
  const auto& methods = MethodsOf(service);
  const auto named = std::find_if(methods.begin(), methods.end(),
                                  [](const auto& each) { return each != nullptr; });
  if (named != methods.end()) services_.push_back(ServiceOf((*named)->name()));
  for (const std::unique_ptr<RpcServiceMethod>& method : methods) {
    if (method == nullptr || method->handler() == nullptr) continue;  // Generic; asynchronous.
    methods_.emplace_back(method->name());
    if (auto* const guarded = dynamic_cast<GuardedHandler*>(method->handler())) {
      lifecycle::Require(!guarded->guarded() || !state_->authorize,
                         "a service with an authorization policy is served by one server only");
      if (!guarded->guarded()) guarded->Guard(state_);
      continue;
    }
    const bool callback = method->api_type() != RpcServiceMethod::ApiType::SYNC;
    std::unique_ptr<MethodHandler>& handler = HandlerOf(*method);
    handler =
        std::make_unique<GuardedHandler>(std::move(handler), callback, method->name(), state_);
  }
}

std::int64_t HandlerGuard::failed() const { return state_->failed; }
std::int64_t HandlerGuard::undecodable() const { return state_->undecodable.total(); }
std::int64_t HandlerGuard::refused() const { return state_->refused.total(); }

void HandlerGuard::ForEachLog(const std::function<void(LimitLog&)>& use) {
  for (auto& [method, log] : state_->failures) use(log);
  use(state_->dropped);
  use(state_->undecodable);
  use(state_->refused);
}

}  // namespace rpc
