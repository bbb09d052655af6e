#include "service/rpc/call_tracker.h"

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr char kHint[] = "draining";

bool IsInfrastructure(const char* method) { return std::strncmp(method, "/grpc.", 6) == 0; }

}  // namespace

class CallTracker::Interceptor final : public grpc::experimental::Interceptor {
 public:
  struct Call {
    bool callback;  // Served by the callback API: its context is given back.
    bool infrastructure;
    bool stream;
  };

  Interceptor(CallTracker& tracker, ServerRpcInfo& info, Call call)
      : tracker_(tracker), info_(info), call_(call) {}

  ~Interceptor() override {
    if (!call_.callback && !call_.infrastructure) --tracker_.running_;
    if (link_.context == nullptr) return;
    if (call_.stream) --Streams();
    tracker_.Leave(link_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    // Runs inside TryCancel(), with the shard's mutex held by whoever cancels.
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL)) return;
    // Not in the constructor: the context is not bound to its call there yet.
    if (link_.context == nullptr &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      link_.context = info_.server_context();
      if (call_.stream) ++Streams();
      tracker_.Enter(link_);
    }
    // It was not counted when it began, and is about to be counted as ended.
    if (call_.callback && call_.infrastructure &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_CLOSE)) {
      ++tracker_.running_;
    }
    methods->Proceed();
  }

 private:
  std::atomic<int>& Streams() {
    return call_.infrastructure ? tracker_.infrastructure_streams_ : tracker_.streams_;
  }

  CallTracker& tracker_;
  ServerRpcInfo& info_;
  const Call call_;
  Link link_;
};

class CallTracker::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(CallTracker& tracker) : tracker_(tracker) {}

  // Null: this call gets no interceptor.
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const Interceptor::Call call = {
        .callback = dynamic_cast<grpc::CallbackServerContext*>(info->server_context()) != nullptr,
        .infrastructure = IsInfrastructure(info->method()),
        .stream = info->type() != ServerRpcInfo::Type::UNARY};
    if (!call.infrastructure) {
      ++tracker_.begun_;
      ++tracker_.running_;
      if (call.callback && tracker_.hinting_.load(std::memory_order_relaxed)) {
        info->server_context()->AddTrailingMetadata(kHint, "1");
        ++tracker_.hinted_;
      }
      if (call.callback && !call.stream) return nullptr;
    }
    return new Interceptor(tracker_, *info, call);
  }

 private:
  CallTracker& tracker_;
};

// Allocates nothing: it is there to be told when a callback call's context is not
// needed any more, after its OnDone().
class CallTracker::Releases final : public grpc::ContextAllocator {
 public:
  explicit Releases(CallTracker& tracker) : tracker_(tracker) {}

  void Release(grpc::CallbackServerContext*) override { --tracker_.running_; }
  void Release(grpc::GenericCallbackServerContext*) override { --tracker_.running_; }

 private:
  CallTracker& tracker_;
};

void CallTracker::Install(grpc::ServerBuilder& builder) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<Factory>(*this));
  builder.experimental().SetInterceptorCreators(std::move(factories));
  builder.SetContextAllocator(std::make_unique<Releases>(*this));
}

void CallTracker::Hint(bool on) {
  if (hinting_ == on) return;
  if (on) hinted_ = 0;
  hinting_ = on;
}

void CallTracker::CancelAll() {
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    while (shard.running.next != &shard.running) {
      Link& link = *shard.running.next;
      // Out of the way first: TryCancel() may unlink this one, and others.
      link.Remove();
      link.InsertBefore(shard.cancelled);
      link.context->TryCancel();
    }
  }
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
  // Links are heap objects, so their low bits are all alike.
  return shards_[(reinterpret_cast<std::uintptr_t>(&link) >> 6) % shards_.size()];
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
