#include "service/rpc/call_tracker.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <typeinfo>
#include <utility>
#include <vector>

#include "grpcpp/generic/async_generic_service.h"
#include "service/rpc/spread.h"

namespace rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr char kHint[] = "draining";
// In place of a method's name, and known by its address: a call of gRPC's own that is ending.
constexpr char kNotCounted[] = "";

// The services that ServerHost adds to those passed to it.
constexpr const char* kInfrastructure[] = {
    "/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/", "/grpc.channelz.v1.Channelz/"};

bool IsInfrastructure(const char* method) {
  if (std::strncmp(method, "/grpc.", 6) != 0) return false;
  return std::any_of(std::begin(kInfrastructure), std::end(kInfrastructure),
                     [method](const char* service) {
                       return std::strncmp(method, service, std::strlen(service)) == 0;
                     });
}

// Called for each call, and a dynamic_cast takes a hundred instructions.
bool IsCallback(const grpc::ServerContextBase& context) {
  const std::type_info& type = typeid(context);
  return type == typeid(grpc::CallbackServerContext) ||
         type == typeid(grpc::GenericCallbackServerContext);
}

// A generic service: the caller invents the method's name.
bool IsGeneric(const grpc::ServerContextBase* context) {
  return dynamic_cast<const grpc::GenericCallbackServerContext*>(context) != nullptr ||
         dynamic_cast<const grpc::GenericServerContext*>(context) != nullptr;
}

}  // namespace

class CallTracker::Interceptor final : public grpc::experimental::Interceptor {
 public:
  struct Call {
    bool callback;  // Served by the callback API: gRPC returns its context.
    bool infrastructure;
    bool stream;
  };

  Interceptor(CallTracker& tracker, ServerRpcInfo& info, Call call)
      : tracker_(tracker),
        info_(info),
        call_(call),
        method_(IsGeneric(info.server_context()) ? "" : info.method()) {
    if (!call_.infrastructure) link_.method = &method_;
  }

  ~Interceptor() override {
    const bool entered = link_.context != nullptr;
    if (entered) tracker_.Leave(link_);
    if (!call_.infrastructure && tracker_.counting_) CountThis();
    if (entered && call_.stream && !call_.infrastructure) tracker_.streams_.End();
    if (call_.infrastructure) tracker_.infrastructure_.End();
    if (!call_.callback && !call_.infrastructure) tracker_.calls_.End();
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    // Runs inside TryCancel(), with the shard's mutex held by whoever cancels.
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL)) return;
    // Not in the constructor: the context is not bound to its call there yet.
    if (link_.context == nullptr &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      link_.context = info_.server_context();
      if (call_.stream && !call_.infrastructure) tracker_.streams_.Begin();
      tracker_.Enter(link_);
    }
    // It was not counted when it began, and Release() does not know whose context it gets.
    if (call_.callback && call_.infrastructure &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_CLOSE) &&
        !tracker_.unary_.Begin(info_.server_context(), kNotCounted)) {
      tracker_.calls_.Begin();
    }
    // With the older APIs this would wait for the very event being reported.
    if (call_.callback &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_CLOSE)) {
      cancelled_ = info_.server_context()->IsCancelled();
    }
    methods->Proceed();
  }

 private:
  void CountThis() {
    tracker_.Count(this, method_, cancelled_ || link_.cut);
    if (call_.stream) ++(link_.cut ? tracker_.streams_cut_ : tracker_.streams_ended_);
  }

  CallTracker& tracker_;
  ServerRpcInfo& info_;
  const Call call_;
  const std::string method_;
  std::atomic<bool> cancelled_{false};  // As gRPC saw it when the call ended.
  Link link_;
};

class CallTracker::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(CallTracker& tracker) : tracker_(tracker) {}

  // Null: this call gets no interceptor.
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const Interceptor::Call call = {.callback = IsCallback(*info->server_context()),
                                    .infrastructure = IsInfrastructure(info->method()),
                                    .stream = info->type() != ServerRpcInfo::Type::UNARY};
    if (!call.infrastructure) {
      tracker_.calls_.Begin();
      if (call.callback && tracker_.hinting_.load(std::memory_order_relaxed)) {
        info->server_context()->AddTrailingMetadata(kHint, "1");
        ++tracker_.hinted_;
      }
      // Without a place it gets an interceptor, too.
      if (call.callback && !call.stream &&
          tracker_.unary_.Begin(info->server_context(), info->method())) {
        return nullptr;
      }
    } else {
      tracker_.infrastructure_.Begin();
    }
    return new Interceptor(tracker_, *info, call);
  }

 private:
  CallTracker& tracker_;
};

// Allocates nothing: it exists only to be notified when the context of a callback call is no
// longer needed, after its OnDone().
class CallTracker::Releases final : public grpc::ContextAllocator {
 public:
  explicit Releases(CallTracker& tracker) : tracker_(tracker) {}

  void Release(grpc::CallbackServerContext* context) override {
    const auto* const call = static_cast<grpc::ServerContextBase*>(context);
    const char* method = tracker_.unary_.End(call);
    if (method == kNotCounted) return;
    if (method != nullptr && tracker_.counting_) {
      tracker_.Count(call, method, context->IsCancelled());
    }
    tracker_.calls_.End();
  }
  void Release(grpc::GenericCallbackServerContext*) override { tracker_.calls_.End(); }

 private:
  CallTracker& tracker_;
};

CallTracker::~CallTracker() {
  // The last thing that an ended call has written, on a thread that nobody joins: who
  // reads it comes after everything that the call did here.
  for (const LiveCount* count : {&calls_, &streams_, &infrastructure_}) {
    static_cast<void>(count->live());
  }
}

void CallTracker::Install(grpc::ServerBuilder& builder, InterceptorFactories more) {
  InterceptorFactories factories;
  factories.push_back(std::make_unique<Factory>(*this));
  std::move(more.begin(), more.end(), std::back_inserter(factories));
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
    const auto next = [&] {
      Link* link = shard.running.next;
      while (only_infrastructure && link != &shard.running && link->method != nullptr) {
        link = link->next;
      }
      return link;
    };
    while (next() != &shard.running) {
      Link& link = *next();
      // Moved first: TryCancel() may unlink this one, and others.
      link.Remove();
      link.InsertBefore(shard.cancelled);
      link.cut = true;
      link.context->TryCancel();
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
  unary_.ForEach([&methods](const char* method) {
    if (method != kNotCounted) ++RowOf(method, methods).left;
  });
  for (Shard& shard : shards_) {
    std::unique_lock shard_lock(shard.mutex, std::try_to_lock);
    if (!shard_lock) continue;
    for (const Link* list : {&shard.running, &shard.cancelled}) {
      for (const Link* link = list->next; link != list; link = link->next) {
        if (link->method != nullptr) ++RowOf(*link->method, methods).left;
      }
    }
  }
  lifecycle::CallTally tally;
  tally.streams_ended = streams_ended_;
  tally.streams_cut = streams_cut_;
  for (const auto& [name, row] : methods) tally.methods.push_back(row);
  return tally;
}

void CallTracker::Count(const void* call, const std::string& method, bool cancelled) {
  Ended& ended = ended_[Spread(call, ended_.size())];
  std::lock_guard lock(ended.mutex);
  lifecycle::CallTally::Method& row = RowOf(method, ended.methods);
  ++(cancelled ? row.cancelled : row.finished);
}

lifecycle::CallTally::Method& CallTracker::RowOf(const std::string& method, Methods& methods) {
  lifecycle::CallTally::Method& row = methods[method];
  row.name = method;
  return row;
}

void CallTracker::Link::InsertBefore(Link& place) {
  previous = place.previous;
  next = &place;
  previous->next = this;
  place.previous = this;
}

void CallTracker::Link::Remove() {
  previous->next = next;
  next->previous = previous;
}

CallTracker::Shard& CallTracker::ShardOf(const Link& link) {
  return shards_[Spread(&link, shards_.size())];
}

void CallTracker::Enter(Link& link) {
  Shard& shard = ShardOf(link);
  std::lock_guard lock(shard.mutex);
  link.InsertBefore(shard.running);
}

void CallTracker::Leave(Link& link) {
  Shard& shard = ShardOf(link);
  std::lock_guard lock(shard.mutex);
  link.Remove();
}

}  // namespace rpc
