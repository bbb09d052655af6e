#include "service/rpc/blocked_threads.h"

#include <utility>

#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace rpc {

using lifecycle::Clock;

namespace {

// A channel that fails every call at once, because it has no credentials.
//
// Never destroyed, and so gRPC's threads for callbacks are never ended: whoever releases the last
// channel ends them, and the last canary may come back when nobody else has one. It would be one of
// these threads, which cannot wait for its own end and would go on with a queue that is gone
// (completion_queue_cc.cc, CallbackAlternativeCQ::Unref()).
const std::shared_ptr<grpc::Channel>& Nowhere() {
  static const auto& nowhere =
      *new std::shared_ptr<grpc::Channel>(grpc::CreateChannel("", nullptr));
  return nowhere;
}

}  // namespace

// One call. Shared with gRPC, which may never finish it.
struct BlockedThreads::Canary {
  explicit Canary(std::shared_ptr<grpc::Channel> nowhere) : stub(std::move(nowhere)) {}

  grpc::GenericStub stub;
  grpc::ClientContext context;
  const grpc::Slice nothing;
  const grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;

  std::mutex mutex;
  std::condition_variable_any changed;
  bool back = false;  // Guarded by mutex.

  static std::shared_ptr<Canary> Send(std::shared_ptr<grpc::Channel> nowhere) {
    const auto canary = std::make_shared<Canary>(std::move(nowhere));
    canary->stub.UnaryCall(&canary->context, "/nowhere/Canary", {}, &canary->request,
                           &canary->response, [canary](const grpc::Status&) {
                             std::lock_guard lock(canary->mutex);
                             canary->back = true;
                             canary->changed.notify_all();
                           });
    return canary;
  }
};

BlockedThreads::BlockedThreads(std::function<void()> on_blocked, Clock::Duration limit)
    : on_blocked_(std::move(on_blocked)),
      limit_(limit),
      thread_([this](const std::stop_token& stop) { Watch(stop); }) {}

void BlockedThreads::Watch(const std::stop_token& stop) {
  Clock& clock = Clock::Steady();
  const std::shared_ptr<grpc::Channel>& nowhere = Nowhere();
  Clock::TimePoint next_word = Clock::TimePoint::min();
  while (!stop.stop_requested()) {
    const std::shared_ptr<Canary> canary = Canary::Send(nowhere);
    std::unique_lock lock(canary->mutex);
    const auto back = [&canary] { return canary->back; };
    const Clock::TimePoint late = clock.Now() + limit_;
    Clock::TimePoint until = late;
    while (!clock.WaitUntil(lock, canary->changed, until, stop, back)) {
      if (stop.stop_requested()) return;
      blocked_ = true;
      if (clock.Now() >= next_word) {
        next_word = clock.Now() + kQuiet;
        lock.unlock();  // The first thread that is free again takes it, and must not wait.
        on_blocked_();
        lock.lock();
      }
      until = next_word;
    }
    blocked_ = false;
    clock.WaitUntil(lock, canary->changed, late, stop, [] { return false; });
  }
}

}  // namespace rpc
