#include "service/rpc/calls/live_calls.h"

#include "service/rpc/calls/spread.h"

namespace rpc {

bool LiveCalls::Begin(const void* call, const char* method, lifecycle::Clock::TimePoint begun) {
  for (Slot& slot : BucketOf(call).slots) {
    const void* nobody = nullptr;
    if (slot.call.load(std::memory_order_relaxed) == nullptr &&
        slot.call.compare_exchange_strong(nobody, call, std::memory_order_acquire)) {
      slot.begun.store(begun, std::memory_order_relaxed);
      slot.status.store(CallStats::kNotReported, std::memory_order_relaxed);
      slot.method.store(method, std::memory_order_release);
      return true;
    }
  }
  return false;
}

bool LiveCalls::SetStatus(const void* call, int status) {
  for (Slot& slot : BucketOf(call).slots) {
    if (slot.call.load(std::memory_order_relaxed) != call) continue;
    slot.status.store(status, std::memory_order_relaxed);
    return true;
  }
  return false;
}

LiveCalls::Entry LiveCalls::End(const void* call) {
  for (Slot& slot : BucketOf(call).slots) {
    if (slot.call.load(std::memory_order_relaxed) != call) continue;
    const Entry entry = {.method = slot.method.exchange(nullptr, std::memory_order_relaxed),
                         .begun = slot.begun.load(std::memory_order_relaxed),
                         .status = slot.status.load(std::memory_order_relaxed)};
    slot.call.store(nullptr, std::memory_order_release);
    return entry;
  }
  return {};
}

void LiveCalls::ForEach(const std::function<void(const char* method)>& do_this) const {
  for (const Bucket& bucket : buckets_) {
    for (const Slot& slot : bucket.slots) {
      if (const char* method = slot.method.load(std::memory_order_acquire)) do_this(method);
    }
  }
}

LiveCalls::Bucket& LiveCalls::BucketOf(const void* call) {
  return buckets_[Spread(call, buckets_.size())];
}

}  // namespace rpc
