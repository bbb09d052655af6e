#include "service/rpc/stream_tracker.h"

#include <cstdint>
#include <cstring>

namespace rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

bool IsInfrastructure(const char* method) { return std::strncmp(method, "/grpc.", 6) == 0; }

}  // namespace

class StreamTracker::Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(StreamTracker& tracker, ServerRpcInfo& info) : tracker_(tracker), info_(info) {}

  ~Interceptor() override {
    if (link_.context != nullptr) tracker_.Leave(link_);
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    // Runs inside TryCancel(), with the shard's mutex held by whoever cancels.
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_CANCEL)) return;
    // Not in the constructor: the context is not bound to its call there yet.
    if (link_.context == nullptr &&
        methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      link_.context = info_.server_context();
      link_.infrastructure = IsInfrastructure(info_.method());
      tracker_.Enter(link_);
    }
    methods->Proceed();
  }

 private:
  StreamTracker& tracker_;
  ServerRpcInfo& info_;
  Link link_;
};

class StreamTracker::Factory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(StreamTracker& tracker) : tracker_(tracker) {}

  // Null: this call gets no interceptor.
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    if (info->type() == ServerRpcInfo::Type::UNARY) return nullptr;
    return new Interceptor(tracker_, *info);
  }

 private:
  StreamTracker& tracker_;
};

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
StreamTracker::NewInterceptorFactory() {
  return std::make_unique<Factory>(*this);
}

void StreamTracker::CancelAll() {
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

void StreamTracker::Link::InsertBefore(Link& place) {
  previous = place.previous;
  next = &place;
  previous->next = this;
  place.previous = this;
}

void StreamTracker::Link::Remove() {
  previous->next = next;
  next->previous = previous;
}

StreamTracker::Shard& StreamTracker::ShardOf(const Link& link) {
  // Links are heap objects, so their low bits are all alike.
  return shards_[(reinterpret_cast<std::uintptr_t>(&link) >> 6) % shards_.size()];
}

void StreamTracker::Enter(Link& link) {
  Shard& shard = ShardOf(link);
  {
    std::lock_guard lock(shard.mutex);
    link.InsertBefore(shard.running);
  }
  ++(link.infrastructure ? infrastructure_streams_ : streams_);
}

void StreamTracker::Leave(Link& link) {
  --(link.infrastructure ? infrastructure_streams_ : streams_);
  Shard& shard = ShardOf(link);
  std::lock_guard lock(shard.mutex);
  link.Remove();
}

}  // namespace rpc
