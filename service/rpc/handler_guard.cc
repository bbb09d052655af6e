#include "service/rpc/handler_guard.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpc/byte_buffer.h"
#if __has_include(<grpcpp/impl/server_callback_handlers.h>)
#include "grpcpp/impl/server_callback_handlers.h"
#else
#include "grpcpp/impl/codegen/server_callback_handlers.h"  // gRPC 1.51
#endif
#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/message_allocator.h"
#include "grpcpp/support/method_handler.h"
#include "grpcpp/support/server_callback.h"
#include "grpcpp/support/status.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"
#include "service/rpc/trace.h"

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
        undecodable("a request could not be parsed", write),
        refused("refused a call: too many calls in flight", write) {}

  // That of what this method's handler throws. Requires: nothing is served yet.
  LimitLog& FailuresOf(const std::string& method) {
    return failures.try_emplace(method, "a handler threw an exception", write).first->second;
  }

  const std::function<bool()> overloaded;
  const HandlerGuard::Answered answered;
  const HandlerGuard::Authorize authorize;
  const GoodbyeSignal* const goodbye;  // Null: nobody says it.
  std::atomic<bool> over{false};       // The guard is gone.
  const LimitLog::Write write;
  std::atomic<std::int64_t> failed{0};
  std::map<std::string, LimitLog> failures;  // By method: one that fails often hides no other.
  LimitLog undecodable;
  LimitLog refused;
};

namespace {

using grpc::ByteBuffer;
using grpc::internal::MethodHandler;
using grpc::internal::RpcServiceMethod;

// Makes a private member reachable: an explicit instantiation may name it.
template <typename Tag, auto kMember>
struct Reveal {
  friend auto MemberOf(Tag) { return kMember; }
};

struct Methods {
  friend auto MemberOf(Methods);
};
template struct Reveal<Methods, &grpc::Service::methods_>;

struct Handler {
  friend auto MemberOf(Handler);
};
template struct Reveal<Handler, &RpcServiceMethod::handler_>;

using Bytes = ByteBuffer;

// The function of a handler that calls the service, by the type of the handler.
struct CallbackUnary {
  using Type = grpc::internal::CallbackUnaryHandler<Bytes, Bytes>;
  friend auto MemberOf(CallbackUnary);
};
template struct Reveal<CallbackUnary, &CallbackUnary::Type::get_reactor_>;

struct CallbackReader {
  using Type = grpc::internal::CallbackClientStreamingHandler<Bytes, Bytes>;
  friend auto MemberOf(CallbackReader);
};
template struct Reveal<CallbackReader, &CallbackReader::Type::get_reactor_>;

struct CallbackWriter {
  using Type = grpc::internal::CallbackServerStreamingHandler<Bytes, Bytes>;
  friend auto MemberOf(CallbackWriter);
};
template struct Reveal<CallbackWriter, &CallbackWriter::Type::get_reactor_>;

struct CallbackBidi {
  using Type = grpc::internal::CallbackBidiHandler<Bytes, Bytes>;
  friend auto MemberOf(CallbackBidi);
};
template struct Reveal<CallbackBidi, &CallbackBidi::Type::get_reactor_>;

struct SyncUnary {
  using Type = grpc::internal::RpcMethodHandler<grpc::Service, Bytes, Bytes, Bytes, Bytes>;
  friend auto MemberOf(SyncUnary);
};
template struct Reveal<SyncUnary, &SyncUnary::Type::func_>;

struct SyncReader {
  using Type = grpc::internal::ClientStreamingHandler<grpc::Service, Bytes, Bytes>;
  friend auto MemberOf(SyncReader);
};
template struct Reveal<SyncReader, &SyncReader::Type::func_>;

struct SyncWriter {
  using Type = grpc::internal::ServerStreamingHandler<grpc::Service, Bytes, Bytes>;
  friend auto MemberOf(SyncWriter);
};
template struct Reveal<SyncWriter, &SyncWriter::Type::func_>;

struct SyncBidi {
  using Type =
      grpc::internal::TemplatedBidiStreamingHandler<grpc::ServerReaderWriter<Bytes, Bytes>, false>;
  friend auto MemberOf(SyncBidi);
};
template struct Reveal<SyncBidi, &SyncBidi::Type::func_>;

// Ends a call at once.
template <typename Reactor>
class Ends final : public Reactor {
 public:
  explicit Ends(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

template <typename Reactor>
void EndWith(const grpc::Status& status, Reactor*& result) {
  result = new Ends<Reactor>(status);
}
void EndWith(const grpc::Status& status, grpc::Status& result) { result = status; }

// A call that is not allowed goes all the way to its handler's function, which is not called: only
// so does gRPC destroy the request that it has parsed.
class Refusal {
 public:
  explicit Refusal(const grpc::Status& answer) { answer_ = &answer; }
  ~Refusal() { answer_ = nullptr; }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;

  // That of the handler that begins on this thread, once; null: it is allowed.
  static const grpc::Status* Take() { return std::exchange(answer_, nullptr); }

 private:
  static thread_local const grpc::Status* answer_;
};
thread_local const grpc::Status* Refusal::answer_ = nullptr;

// What gRPC does with a reactor's Finish() until the handler has returned: it keeps it.
struct EarlyFinish {
  friend auto MemberOf(EarlyFinish);
};
struct EarlyFinishMutex {
  friend auto MemberOf(EarlyFinishMutex);
};
template struct Reveal<EarlyFinish, &grpc::ServerUnaryReactor::backlog_>;
template struct Reveal<EarlyFinishMutex, &grpc::ServerUnaryReactor::call_mu_>;

// Newer versions want a reference, others a pointer.
template <typename Mutex, typename Look>
auto Locked(Mutex& mutex, const Look& look) {
  using Lock = grpc::internal::MutexLock;
  if constexpr (std::is_constructible_v<Lock, Mutex&>) {
    const Lock lock(mutex);
    return look();
  } else {
    const Lock lock(&mutex);
    return look();
  }
}

// With which status a handler has ended its call; a stream, or later: unknown. Looked for only where
// it is logged and not known yet: the lock costs 1,500 instructions where Abseil looks for
// deadlocks (server_host.cc).
std::optional<int> EndedWith(grpc::ServerUnaryReactor& reactor) {
  const CallSpan* const span = SpanOf(*GuardedMethod::CurrentCall().context);  // By RunHandler().
  if (span == nullptr || span->status != CallSpan::kNoStatus) return std::nullopt;
  return Locked(reactor.*MemberOf(EarlyFinishMutex()), [&reactor]() -> std::optional<int> {
    const auto& early = reactor.*MemberOf(EarlyFinish());
    if (!early.finish_wanted) return std::nullopt;
    return early.status_wanted.error_code();
  });
}
template <typename Reactor>
std::optional<int> EndedWith(const Reactor&) {
  return std::nullopt;
}

template <typename Reactor>
std::optional<int> EndedWith(Reactor* reactor) {
  if (reactor == nullptr) return grpc::StatusCode::UNIMPLEMENTED;  // So does gRPC.
  return EndedWith(*reactor);
}
// The synchronous API tells an interceptor.
std::optional<int> EndedWith(const grpc::Status&) { return std::nullopt; }

// What to do when something was thrown, and what to answer.
using Failure = std::function<grpc::Status(const char* thrown)>;
// Told with which status a call ends.
using Ended = std::function<void(int status)>;

template <typename Result, typename... Arguments>
std::function<Result(Arguments...)> Catching(std::function<Result(Arguments...)> function,
                                             Failure failure, Ended ended) {
  return [function = std::move(function), failure = std::move(failure),
          ended = std::move(ended)](Arguments... arguments) {
    Result result{};
    if (const grpc::Status* const answer = Refusal::Take()) [[unlikely]] {
      EndWith(*answer, result);
      return result;
    }
    try {
      result = function(arguments...);
      if (const std::optional<int> status = EndedWith(result)) ended(*status);
      return result;
    } catch (const std::exception& thrown) {
      EndWith(failure(thrown.what()), result);
    } catch (...) {
      EndWith(failure("not a std::exception"), result);
    }
    return result;
  };
}

// True: the handler was one of these, and catches now. No sanitizer looks: it is used by
// another name (see the header).
template <typename Tag>
__attribute__((no_sanitize("undefined"))) bool CatchIn(MethodHandler& handler, const char* name,
                                                       const Failure& failure, const Ended& ended) {
  // Of a template, the mangled name and the arguments behind it.
  if (!absl::StartsWith(typeid(handler).name(), name)) return false;
  auto& function = reinterpret_cast<typename Tag::Type&>(handler).*MemberOf(Tag());
  function = Catching(std::move(function), failure, ended);
  return true;
}

// False: the handler is of a type that is not known, and left as it is.
bool CatchExceptions(MethodHandler& handler, const Failure& failure, const Ended& ended) {
  return (
      CatchIn<CallbackUnary>(handler, "N4grpc8internal20CallbackUnaryHandlerI", failure, ended) ||
      CatchIn<CallbackReader>(handler, "N4grpc8internal30CallbackClientStreamingHandlerI", failure,
                              ended) ||
      CatchIn<CallbackWriter>(handler, "N4grpc8internal30CallbackServerStreamingHandlerI", failure,
                              ended) ||
      CatchIn<CallbackBidi>(handler, "N4grpc8internal19CallbackBidiHandlerI", failure, ended) ||
      CatchIn<SyncUnary>(handler, "N4grpc8internal16RpcMethodHandlerI", failure, ended) ||
      CatchIn<SyncReader>(handler, "N4grpc8internal22ClientStreamingHandlerI", failure, ended) ||
      CatchIn<SyncWriter>(handler, "N4grpc8internal22ServerStreamingHandlerI", failure, ended) ||
      CatchIn<SyncBidi>(handler, "N4grpc8internal20BidiStreamingHandlerI", failure, ended));
}

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
      : handler_(std::move(handler)),
        callback_(callback),
        name_(std::move(name)),
        refusal_(ToGrpc(rpc::Overloaded(PackageOf(name_), "too many calls in flight"))) {
    Guard(std::move(state));
    const Ended ended = [this](int status) {
      method_->Answered(GuardedMethod::CurrentCall().context, status);
    };
    const Failure failure = [this, ended](const char* thrown) {
      method_->Threw(thrown);
      ended(grpc::StatusCode::INTERNAL);
      return Failed();
    };
    catches_ = CatchExceptions(*handler_, failure, ended);
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
    void* const message = handler_->Deserialize(call, request, status, data);
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
    // The span of a synchronous call is announced by its interceptor (call_tracker.h).
    const Trace::Scope scope(callback_ ? Trace::Of(*parameter.server_context) : Trace::Current());
    if (state_->authorize) [[unlikely]]
      return RunIfAllowed(parameter);
    handler_->RunHandler(parameter);
  }

 private:
  void RunIfAllowed(const HandlerParameter& parameter) {
    grpc::Status answer;
    const bool survived =
        method_->Survives([&] { answer = state_->authorize(name_, *parameter.server_context); });
    if (!survived) answer = Failed();
    if (answer.ok()) return handler_->RunHandler(parameter);
    // What its request has allocated is lost then, which is better than to let it through.
    if (!catches_) return End(parameter, answer);
    method_->Answered(parameter.server_context, answer.error_code());
    const Refusal refusal(answer);
    handler_->RunHandler(parameter);
  }

  void End(const HandlerParameter& parameter, const grpc::Status& status) const {
    method_->Answered(parameter.server_context, status.error_code());
    if (!callback_) return EndSync(parameter, status);
    ReleaseMessages(parameter.internal_data);
    using Reactor = grpc::ServerBidiReactor<Bytes, Bytes>;
    grpc::internal::CallbackBidiHandler<Bytes, Bytes>([&status](grpc::CallbackServerContext*) {
      return new Ends<Reactor>(status);
    }).RunHandler(With(parameter, grpc::Status::OK));
  }

  // What was thrown is for us.
  static grpc::Status Failed() { return {grpc::StatusCode::INTERNAL, "the handler failed"}; }

  static HandlerParameter With(const HandlerParameter& parameter, const grpc::Status& status) {
    return {parameter.call, parameter.server_context, nullptr, status,
            nullptr,        parameter.call_requester};
  }

  // What a unary call's request and answer were allocated in, if anything.
  __attribute__((no_sanitize("undefined"))) static void ReleaseMessages(void* data) {
    if (data != nullptr) static_cast<grpc::MessageHolder<Bytes, Bytes>*>(data)->Release();
  }

  static void EndSync(const HandlerParameter& parameter, const grpc::Status& status) {
    using Stream = grpc::ServerReaderWriter<Bytes, Bytes>;
    grpc::internal::TemplatedBidiStreamingHandler<Stream, false>([&status](grpc::ServerContext*,
                                                                           Stream*) {
      return status;
    }).RunHandler(With(parameter, grpc::Status::OK));
  }

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

  const std::unique_ptr<MethodHandler> handler_;
  const bool callback_;
  const std::string name_;
  const grpc::Status refusal_;  // Of a call above the limit; made once, as it must cost little.
  bool catches_ = false;        // What the handler throws, and so Refusal.
  std::shared_ptr<HandlerGuard::State> state_;
  std::shared_ptr<GuardedMethod> method_;
};

}  // namespace

HandlerGuard::HandlerGuard(std::function<bool()> overloaded, const LimitLog::Write& write,
                           Answered answered, Authorize authorize, const GoodbyeSignal* goodbye)
    : state_(std::make_shared<State>(std::move(overloaded), write, std::move(answered),
                                     std::move(authorize), goodbye)) {}

HandlerGuard::~HandlerGuard() { state_->over = true; }

void HandlerGuard::Install(grpc::Service& service) {
  const auto& methods = service.*MemberOf(Methods());
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
    std::unique_ptr<MethodHandler>& handler = (*method).*MemberOf(Handler());
    handler =
        std::make_unique<GuardedHandler>(std::move(handler), callback, method->name(), state_);
  }
}

std::int64_t HandlerGuard::failed() const { return state_->failed; }
std::int64_t HandlerGuard::undecodable() const { return state_->undecodable.total(); }
std::int64_t HandlerGuard::refused() const { return state_->refused.total(); }

void HandlerGuard::ForEachLog(const std::function<void(LimitLog&)>& use) {
  for (auto& [method, log] : state_->failures) use(log);
  use(state_->undecodable);
  use(state_->refused);
}

}  // namespace rpc
