#include "service/rpc/calls/call_tracker.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <typeinfo>
#include <utility>
#include <vector>

#include "grpcpp/generic/async_generic_service.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/rpc/calls/spread.h"

namespace rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using lifecycle::Clock;

constexpr char kHint[] = "draining";

// The services that ServerHost adds to those passed to it.
constexpr const char* kInfrastructure[] = {
    "/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/", "/grpc.channelz.v1.Channelz/"};

bool IsInfrastructure(const char* method) {
  if (method[0] != '/' || method[1] != 'g') return false;  // Nearly always.
  return std::any_of(std::begin(kInfrastructure), std::end(kInfrastructure),
                     [method](const char* service) {
                       return std::strncmp(method, service, std::strlen(service)) == 0;
                     });
}

// Called for each call, and a dynamic_cast takes a hundred instructions.
bool IsCallback(const grpc::ServerContextBase& context) {
  const std::type_info& type = typeid(context);
  return type == typeid(grpc::CallbackServerContext) || type == typeid(SpanContext) ||
         type == typeid(grpc::GenericCallbackServerContext);
}

// A generic service: the caller invents the method's name. gRPC serves it as a stream.
bool IsGeneric(const grpc::ServerContextBase* context) {
  return dynamic_cast<const grpc::GenericCallbackServerContext*>(context) != nullptr ||
         dynamic_cast<const grpc::GenericServerContext*>(context) != nullptr;
}

// What is logged of a call besides how it ended. `method`: "" if its caller has invented it.
EndedCall CallerOf(const grpc::ServerContextBase& context, const char* method, std::string peer) {
  EndedCall ended = {.method = method, .peer = std::move(peer)};
  if (const auto* generic =
          *method != '\0' ? nullptr
                          : dynamic_cast<const grpc::GenericCallbackServerContext*>(&context)) {
    ended.method = generic->method();
  }
  ended.request_id = MetadataOf(context, "x-request-id").first;
  return ended;
}

}  // namespace

// Tells of a call that gRPC tells nobody else the end of: one of the sync or async API.
class CallTracker::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(CallTracker& tracker, ServerRpcInfo& info, const Call& call)
      : tracker_(tracker), info_(info), call_(call) {
    tracker_.Begin(call_);
  }

  ~Interceptor() override {
    if (!entered_) {
      const Call call = {
          .method = call_.method, .begun = call_.begun, .infrastructure = call_.infrastructure};
      tracker_.End(this, call, {.cancelled = false, .status = status_});
      return;
    }
    tracker_.Unbound(context_);
    const Call call = tracker_.Leave(this);
    // With the older APIs, asking whether it was cancelled would wait for the very event that is
    // being told.
    const Outcome outcome = {.cancelled = call.cut,
                             .status = call.cut ? int{grpc::StatusCode::CANCELLED} : status_};
    if (call.span != nullptr && tracker_.log_->Admits(outcome.at)) {
      tracker_.Log(std::move(ended_), call, outcome);  // The context is being destroyed.
    }
    tracker_.End(this, call, outcome);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    // Runs inside TryCancel(), with the shard's mutex held by whoever cancels.
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL)) return;
    // Not in the constructor: the context is not bound to its call there yet.
    if (!entered_ &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      Enter();
      // gRPC calls the handler in it; and the call, this included, may be gone afterwards.
      const Trace::Scope scope(call_.span == nullptr ? std::nullopt : std::optional(span_.trace));
      return methods->Proceed();
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      status_ = methods->GetSendStatus().error_code();
    }
    methods->Proceed();
  }

 private:
  void Enter() {
    entered_ = true;
    context_ = info_.server_context();
    tracker_.Bound(*context_, call_);
    if (tracker_.log_ != nullptr) {
      span_.trace = Trace::Begin(MetadataOf(*context_, "traceparent").only());
      call_.span = &span_;
      ended_ = CallerOf(*context_, info_.method(), context_->peer());
      ended_.code = grpc::StatusCode::CANCELLED;  // If it sends no status.
    }
    tracker_.Enter(this, *context_, call_);
  }

  CallTracker& tracker_;
  ServerRpcInfo& info_;
  Call call_;
  CallSpan span_;    // If calls are logged.
  EndedCall ended_;  // The same.
  bool entered_ = false;
  grpc::ServerContextBase* context_ = nullptr;  // Since then; gone before this is.
  int status_ = CallStats::kNotReported;
};

// Learns the status of a callback call that nobody else may report.
class CallTracker::StatusInterceptor final : public grpc::experimental::Interceptor {
 public:
  // `method`: null unless other calls of the method may do without this.
  StatusInterceptor(CallTracker& tracker, const char* method, CallSpan* span)
      : tracker_(tracker), method_(method), span_(span == nullptr ? &own_ : span) {}

  CallSpan& span() { return *span_; }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      // Nobody else announces it where handlers are not guarded (service/rpc/handler_guard.h). gRPC
      // calls the handler in it; and the call, this included, may be gone afterwards.
      const Trace::Scope scope(span_->trace);
      return methods->Proceed();
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      int reported = CallSpan::kNoStatus;
      const bool learnt =
          span_->status.compare_exchange_strong(reported, methods->GetSendStatus().error_code());
      if (method_ != nullptr) tracker_.stats_.SetReports(method_, !learnt);
    }
    methods->Proceed();
  }

 private:
  CallTracker& tracker_;
  const char* const method_;
  CallSpan* const span_;
  CallSpan own_;  // Of a call whose context has none.
};

// Asked first: intercepts the calls of the sync and async APIs before anybody else does.
class CallTracker::Intercepts final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Intercepts(CallTracker& tracker) : tracker_(tracker) {}

  // Null: this call gets no interceptor.
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    if (IsCallback(*info->server_context())) return nullptr;
    return new Interceptor(tracker_, *info, CallOf(*info));
  }

 private:
  CallTracker& tracker_;
};

// Asked last, when the context of a callback call is complete and may be cancelled: records it. And
// intercepts the other calls if it is the only one that is asked.
class CallTracker::Records final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Records(CallTracker& tracker, bool only) : tracker_(tracker), only_(only) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    grpc::ServerContextBase* const context = info->server_context();
    Call call = CallOf(*info);
    if (!IsCallback(*context)) return only_ ? new Interceptor(tracker_, *info, call) : nullptr;
    tracker_.Begin(call);
    tracker_.Bound(*context, call);
    if (!call.infrastructure && tracker_.hinting_.load(std::memory_order_relaxed)) {
      context->AddTrailingMetadata(kHint, "1");
      ++tracker_.hinted_;
    }
    std::unique_ptr<StatusInterceptor> interceptor;
    if (tracker_.log_ != nullptr) interceptor = tracker_.BeginSpan(*context, call);
    const bool unary = !call.stream && !call.infrastructure;
    if (!unary || !tracker_.unary_.Begin(context, call.method, call.begun)) {
      static_cast<void>(tracker_.statuses_.Begin(context, call.method));
      tracker_.Enter(context, *context, call);
    }
    return interceptor.release();
  }

 private:
  CallTracker& tracker_;
  const bool only_;
};

// Notified when the context of a callback call is no longer needed, after its OnDone() and before
// gRPC lets go of the call. Allocates it only if it has a span; else gRPC does.
class CallTracker::Releases final : public grpc::ContextAllocator {
 public:
  explicit Releases(CallTracker& tracker) : tracker_(tracker) {}

  grpc::CallbackServerContext* NewCallbackServerContext() override {
    return tracker_.log_ == nullptr ? nullptr : new SpanContext;
  }

  void Release(grpc::CallbackServerContext* context) override {
    grpc::ServerContextBase* const call = context;
    CallSpan* const span = tracker_.log_ == nullptr ? nullptr : SpanOf(*call);
    const LiveCalls::Entry entry = tracker_.unary_.End(call);
    if (entry.method == nullptr) {
      Leave(*call);
    } else {
      End(*call, {.method = entry.method, .begun = entry.begun, .span = span}, entry.status);
    }
    if (span != nullptr) delete static_cast<SpanContext*>(context);
  }
  void Release(grpc::GenericCallbackServerContext* context) override { Leave(*context); }

 private:
  void Leave(const grpc::ServerContextBase& context) {
    const int reported = tracker_.statuses_.End(&context).status;
    End(context, tracker_.Leave(&context), reported);
  }

  // `reported`: the status that its harness has sent.
  void End(const grpc::ServerContextBase& context, const Call& call, int reported) {
    tracker_.Unbound(&context);
    if (call.span == nullptr)
      return tracker_.End(&context, call, tracker_.OutcomeOf(context, call, reported));
    const Outcome outcome = tracker_.OutcomeOf(context, call, call.span->status);
    tracker_.Log(context, call, outcome);
    tracker_.End(&context, call, outcome);
  }

  CallTracker& tracker_;
};

CallTracker::~CallTracker() {
  // The last thing that an ended call has written, on a thread that nobody joins: who
  // reads it comes after everything that the call did here.
  for (const LiveCount* count : {&calls_, &streams_, &infrastructure_}) {
    static_cast<void>(count->live());
  }
}

void CallTracker::Install(grpc::ServerBuilder& builder, InterceptorFactories more,
                          CallDeadlines* deadlines, AccessLog* log) {
  deadlines_ = deadlines;
  log_ = log;
  InterceptorFactories factories;
  if (!more.empty()) factories.push_back(std::make_unique<Intercepts>(*this));
  std::move(more.begin(), more.end(), std::back_inserter(factories));
  factories.push_back(std::make_unique<Records>(*this, /*only=*/more.empty()));
  builder.experimental().SetInterceptorCreators(std::move(factories));
  builder.SetContextAllocator(std::make_unique<Releases>(*this));
}

void CallTracker::Hint(bool on) {
  if (hinting_ == on) return;
  if (on) hinted_ = 0;
  hinting_ = on;
}

void CallTracker::CountByMethod(bool on) {
  if (counting_ == on) return;
  counting_ = false;
  for (Ended& ended : ended_) {
    std::lock_guard lock(ended.mutex);
    ended.methods.clear();
  }
  streams_ended_ = 0;
  streams_cut_ = 0;
  counting_ = on;
}

void CallTracker::Cancel(bool only_infrastructure) {
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    std::vector<const void*> keys;
    for (const auto& [key, running] : shard.calls) {
      if (!only_infrastructure || running.call.infrastructure) keys.push_back(key);
    }
    for (const void* key : keys) {
      const auto found = shard.calls.find(key);
      // TryCancel() may have ended this one, too.
      if (found == shard.calls.end() || std::exchange(found->second.call.cut, true)) continue;
      found->second.context->TryCancel();
    }
  }
}

lifecycle::CallTally CallTracker::TryTally() {
  Methods methods;
  for (Ended& ended : ended_) {
    std::lock_guard lock(ended.mutex);
    for (const auto& [name, row] : ended.methods) {
      lifecycle::CallTally::Method& sum = RowOf(name, methods);
      sum.finished += row.finished;
      sum.cancelled += row.cancelled;
    }
  }
  unary_.ForEach([&methods](const char* method) { ++RowOf(method, methods).left; });
  for (Shard& shard : shards_) {
    std::unique_lock shard_lock(shard.mutex, std::try_to_lock);
    if (!shard_lock) continue;
    for (const auto& [key, running] : shard.calls) {
      if (!running.call.infrastructure) ++RowOf(running.call.method, methods).left;
    }
  }
  lifecycle::CallTally tally;
  tally.streams_ended = streams_ended_;
  tally.streams_cut = streams_cut_;
  for (const auto& [name, row] : methods) tally.methods.push_back(row);
  return tally;
}

void CallTracker::SetStatus(const void* call, int status) {
  if (log_ != nullptr) {
    auto* const context = static_cast<grpc::ServerContextBase*>(const_cast<void*>(call));
    if (CallSpan* const span = SpanOf(*context)) span->status = status;
    return;
  }
  if (!unary_.SetStatus(call, status)) statuses_.SetStatus(call, status);
}

const char* CallTracker::StatsName(const Call& call) {
  return *call.method == '\0' ? nullptr : call.method;
}

CallTracker::Call CallTracker::CallOf(ServerRpcInfo& info) {
  const bool stream = info.type() != ServerRpcInfo::Type::UNARY;
  return {.method = stream && IsGeneric(info.server_context()) ? "" : info.method(),
          .begun = Clock::Steady().Now(),
          .infrastructure = IsInfrastructure(info.method()),
          .stream = stream};
}

CallTracker::Shard& CallTracker::ShardOf(const void* key) {
  return shards_[Spread(key, shards_.size())];
}

void CallTracker::Enter(const void* key, grpc::ServerContextBase& context, const Call& call) {
  if (call.stream && !call.infrastructure) streams_.Begin();
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  shard.calls.emplace(key, Running{call, &context});
}

CallTracker::Call CallTracker::Leave(const void* key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.calls.find(key);
  lifecycle::Require(found != shard.calls.end(), "gRPC has released a call that never began");
  const Call call = found->second.call;
  shard.calls.erase(found);
  return call;
}

CallTracker::Outcome CallTracker::OutcomeOf(const grpc::ServerContextBase& context,
                                            const Call& call, int reported) const {
  // Also of one that Cancel() has cancelled: its status may have left before, and its OnDone() runs
  // later, on a thread of gRPC's. gRPC says "not cancelled" only if the status was sent and nothing
  // had failed by then (SetFinalStatus() in its call.cc), and has decided that before OnDone().
  if (!context.IsCancelled() && !cuts_connections_) return {.cancelled = false, .status = reported};
  const bool over = !call.cut && context.deadline() <= std::chrono::system_clock::now();
  return {.cancelled = true,
          .status = over ? grpc::StatusCode::DEADLINE_EXCEEDED : grpc::StatusCode::CANCELLED};
}

void CallTracker::Bound(grpc::ServerContextBase& context, const Call& call) {
  if (deadlines_ == nullptr || call.stream || call.infrastructure) return;
  deadlines_->Begin(context, call.method);
}

void CallTracker::Unbound(const void* context) {
  if (deadlines_ != nullptr) deadlines_->End(context);
}

void CallTracker::Begin(const Call& call) {
  if (call.infrastructure) return infrastructure_.Begin();
  calls_.Begin();
  stats_.Begin(StatsName(call));
}

std::unique_ptr<CallTracker::StatusInterceptor> CallTracker::BeginSpan(
    grpc::ServerContextBase& context, Call& call) {
  call.span = SpanOf(context);
  const char* const method = call.infrastructure ? nullptr : StatsName(call);
  std::unique_ptr<StatusInterceptor> interceptor;
  if (call.span == nullptr || method == nullptr || !stats_.Reports(method)) {
    interceptor = std::make_unique<StatusInterceptor>(*this, method, call.span);
    call.span = &interceptor->span();
  }
  call.span->trace = Trace::Begin(MetadataOf(context, "traceparent").only());
  call.span->peer = context.peer();
  return interceptor;
}

void CallTracker::Log(const grpc::ServerContextBase& context, const Call& call,
                      const Outcome& outcome) {
  if (outcome.status == CallStats::kNotReported && !call.infrastructure) {
    stats_.SetReports(StatsName(call), false);
  }
  if (!log_->Admits(outcome.at)) return;
  Log(CallerOf(context, call.method, std::move(call.span->peer)), call, outcome);
}

void CallTracker::Log(EndedCall ended, const Call& call, const Outcome& outcome) {
  if (outcome.status != CallStats::kNotReported) {
    ended.code = static_cast<grpc::StatusCode>(outcome.status);
  }
  ended.trace = call.span->trace;
  ended.duration = outcome.at - call.begun;
  ended.started = std::chrono::system_clock::now() -
                  std::chrono::duration_cast<std::chrono::system_clock::duration>(ended.duration);
  const Trace::Scope nobody(std::nullopt);  // Its line says itself of which trace it is.
  log_->Log(std::move(ended));
}

void CallTracker::End(const void* key, const Call& call, const Outcome& outcome) {
  if (call.infrastructure) return infrastructure_.End();
  stats_.End(StatsName(call), outcome.status, outcome.at - call.begun);
  if (counting_) Count(key, call, outcome.cancelled);
  if (call.stream) streams_.End();
  calls_.End();
}

void CallTracker::Count(const void* key, const Call& call, bool cancelled) {
  if (call.stream) ++(call.cut && cancelled ? streams_cut_ : streams_ended_);
  Ended& ended = ended_[Spread(key, ended_.size())];
  std::lock_guard lock(ended.mutex);
  lifecycle::CallTally::Method& row = RowOf(call.method, ended.methods);
  ++(cancelled ? row.cancelled : row.finished);
}

lifecycle::CallTally::Method& CallTracker::RowOf(const std::string& method, Methods& methods) {
  lifecycle::CallTally::Method& row = methods[method];
  row.name = method;
  return row;
}

}  // namespace rpc
