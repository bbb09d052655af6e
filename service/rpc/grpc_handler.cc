#include "service/rpc/grpc_handler.h"

#include <exception>
#include <optional>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "absl/strings/match.h"
#if __has_include(<grpcpp/impl/server_callback_handlers.h>)
#include "grpcpp/impl/server_callback_handlers.h"
#else
#include "grpcpp/impl/codegen/server_callback_handlers.h"  // gRPC 1.51
#endif
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/message_allocator.h"
#include "grpcpp/support/method_handler.h"
#include "grpcpp/support/server_callback.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/guarded_method.h"

namespace rpc {
namespace {

using Bytes = grpc::ByteBuffer;
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

template <typename Result, typename... Arguments>
std::function<Result(Arguments...)> Catching(std::function<Result(Arguments...)> function,
                                             GrpcHandler::Threw threw, GrpcHandler::Ended ended) {
  return [function = std::move(function), threw = std::move(threw),
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
      EndWith(threw(thrown.what()), result);
    } catch (...) {
      EndWith(threw("not a std::exception"), result);
    }
    return result;
  };
}

// True: the handler was one of these, and catches now. No sanitizer looks: it is used by
// another name (see the header).
template <typename Tag>
__attribute__((no_sanitize("undefined"))) bool CatchIn(MethodHandler& handler, const char* name,
                                                       const GrpcHandler::Threw& threw,
                                                       const GrpcHandler::Ended& ended) {
  // Of a template, the mangled name and the arguments behind it.
  if (!absl::StartsWith(typeid(handler).name(), name)) return false;
  auto& function = reinterpret_cast<typename Tag::Type&>(handler).*MemberOf(Tag());
  function = Catching(std::move(function), threw, ended);
  return true;
}

// False: the handler is of a type that is not known, and left as it is.
bool CatchExceptions(MethodHandler& handler, const GrpcHandler::Threw& threw,
                     const GrpcHandler::Ended& ended) {
  return (CatchIn<CallbackUnary>(handler, "N4grpc8internal20CallbackUnaryHandlerI", threw, ended) ||
          CatchIn<CallbackReader>(handler, "N4grpc8internal30CallbackClientStreamingHandlerI",
                                  threw, ended) ||
          CatchIn<CallbackWriter>(handler, "N4grpc8internal30CallbackServerStreamingHandlerI",
                                  threw, ended) ||
          CatchIn<CallbackBidi>(handler, "N4grpc8internal19CallbackBidiHandlerI", threw, ended) ||
          CatchIn<SyncUnary>(handler, "N4grpc8internal16RpcMethodHandlerI", threw, ended) ||
          CatchIn<SyncReader>(handler, "N4grpc8internal22ClientStreamingHandlerI", threw, ended) ||
          CatchIn<SyncWriter>(handler, "N4grpc8internal22ServerStreamingHandlerI", threw, ended) ||
          CatchIn<SyncBidi>(handler, "N4grpc8internal20BidiStreamingHandlerI", threw, ended));
}

// What a unary call's request and answer were allocated in, if anything.
__attribute__((no_sanitize("undefined"))) void ReleaseMessages(void* data) {
  if (data != nullptr) static_cast<grpc::MessageHolder<Bytes, Bytes>*>(data)->Release();
}

}  // namespace

GrpcHandler::GrpcHandler(std::unique_ptr<MethodHandler> handler, bool callback, Threw threw,
                         Ended ended)
    : handler_(std::move(handler)),
      callback_(callback),
      known_(CatchExceptions(*handler_, threw, ended)) {}

void GrpcHandler::Refuse(const Parameter& parameter, const grpc::Status& answer) {
  // What its request has allocated is lost then, which is better than to let it through.
  if (!known_) return End(parameter, answer);
  const Refusal refusal(answer);
  handler_->RunHandler(parameter);
}

void GrpcHandler::End(const Parameter& parameter, const grpc::Status& answer) const {
  const Parameter empty(parameter.call, parameter.server_context, nullptr, grpc::Status::OK,
                        nullptr, parameter.call_requester);
  if (callback_) {
    ReleaseMessages(parameter.internal_data);
    using Reactor = grpc::ServerBidiReactor<Bytes, Bytes>;
    CallbackBidi::Type([&answer](grpc::CallbackServerContext*) {
      return new Ends<Reactor>(answer);
    }).RunHandler(empty);
  } else {
    using Stream = grpc::ServerReaderWriter<Bytes, Bytes>;
    SyncBidi::Type([&answer](grpc::ServerContext*, Stream*) { return answer; }).RunHandler(empty);
  }
}

const std::vector<std::unique_ptr<RpcServiceMethod>>& MethodsOf(grpc::Service& service) {
  return service.*MemberOf(Methods());
}

std::unique_ptr<MethodHandler>& HandlerOf(RpcServiceMethod& method) {
  return method.*MemberOf(Handler());
}

}  // namespace rpc
