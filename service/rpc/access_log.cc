#include "service/rpc/access_log.h"

#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "grpcpp/server_context.h"

namespace rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using Metadata = std::multimap<grpc::string_ref, grpc::string_ref>;

std::string ValueOf(const Metadata& metadata, const char* name) {
  const auto found = metadata.find(name);
  return found == metadata.end() ? std::string()
                                 : std::string(found->second.data(), found->second.size());
}

}  // namespace

std::string CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto number = static_cast<std::size_t>(code);
  return number < std::size(kNames) ? kNames[number] : std::to_string(code);
}

class AccessLog::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(AccessLog& log, ServerRpcInfo& info)
      : log_(log), info_(info), call_{.method = info.method()} {}

  ~Interceptor() override {
    if (!begun_) return;  // It was never a call.
    call_.duration = log_.clock_.Now() - *begun_;
    const Trace::Scope nobody(nullptr);  // Its line says itself of which trace it is.
    log_.Ended(call_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      Begin(*methods->GetRecvInitialMetadata());
      // gRPC calls the handler in it; and the call, this included, may be gone afterwards.
      const Trace::Scope scope(std::make_shared<const Trace>(call_.trace));
      return methods->Proceed();
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      call_.code = methods->GetSendStatus().error_code();
    }
    methods->Proceed();
  }

 private:
  void Begin(Metadata& metadata) {
    begun_ = log_.clock_.Now();
    call_.started = std::chrono::system_clock::now();
    call_.peer = info_.server_context()->peer();
    call_.request_id = ValueOf(metadata, "x-request-id");
    // Several are as good as none: nobody can say which is right.
    const bool one = metadata.count("traceparent") == 1;
    call_.trace = Trace::Begin(one ? ValueOf(metadata, "traceparent") : "");
    span_ = call_.trace.Traceparent();
    metadata.emplace(Trace::kMetadata, span_);
  }

  AccessLog& log_;
  ServerRpcInfo& info_;
  EndedCall call_;
  std::string span_;  // The metadata refers to it.
  std::optional<lifecycle::Clock::TimePoint> begun_;
};

class AccessLog::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(AccessLog& log) : log_(log) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    return new AccessLog::Interceptor(log_, *info);
  }

 private:
  AccessLog& log_;
};

AccessLog::~AccessLog() {
  std::lock_guard lock(mutex_);
  TellSkipped();
}

void AccessLog::LogTo(Write write, WriteSkipped write_skipped) {
  std::lock_guard lock(mutex_);
  write_ = std::move(write);
  write_skipped_ = std::move(write_skipped);
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
AccessLog::NewInterceptors() {
  return std::make_unique<Factory>(*this);
}

std::int64_t AccessLog::skipped() const {
  std::lock_guard lock(mutex_);
  return skipped_;
}

void AccessLog::Ended(const EndedCall& call) {
  const lifecycle::Clock::TimePoint now = clock_.Now();
  std::lock_guard lock(mutex_);
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    told_ = 0;
  }
  if (told_ >= calls_per_second_) {
    ++skipped_;
    return;
  }
  ++told_;
  TellSkipped();
  if (write_) write_(call);
}

void AccessLog::TellSkipped() {
  const std::int64_t untold = skipped_ - std::exchange(skipped_told_, skipped_);
  if (untold > 0 && write_skipped_) write_skipped_(untold);
}

}  // namespace rpc
