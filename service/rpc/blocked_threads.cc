#include "service/rpc/blocked_threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
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

// The one of the process.
class BlockedThreads::Watch {
 public:
  Watch(const BlockedThreads& first, const Limits& limits)
      : servers_{&first},
        limits_(limits),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}

  // Begins with the first server of the process, and ends with its last.
  static std::shared_ptr<Watch> For(const BlockedThreads& server, const Limits& limits) {
    static auto& mutex = *new std::mutex;
    static auto& current = *new std::weak_ptr<Watch>;  // Guarded by mutex.
    std::lock_guard lock(mutex);
    std::shared_ptr<Watch> watch = current.lock();
    if (watch == nullptr) {
      current = watch = std::make_shared<Watch>(server, limits);
    } else {
      std::lock_guard servers_lock(watch->mutex_);
      watch->servers_.push_back(&server);
    }
    return watch;
  }

  void Leave(const BlockedThreads& server) {
    std::lock_guard lock(mutex_);
    std::erase(servers_, &server);
  }

  bool blocked() const { return waits_since_.load() != kNotBlocked; }
  bool blocked_for_long() const {
    return Clock::Steady().Now() - limits_.for_long > waits_since_.load();
  }

 private:
  static constexpr Clock::TimePoint kNotBlocked = Clock::TimePoint::max();

  void Run(const std::stop_token& stop);

  void Say() {
    std::lock_guard lock(mutex_);
    if (servers_.empty()) return;
    std::vector<std::string> running;
    for (const BlockedThreads* each : servers_) {
      if (std::string calls = each->running_(); !calls.empty()) running.push_back(std::move(calls));
    }
    servers_.front()->on_blocked_(absl::StrJoin(running, ", "));
  }

  std::mutex mutex_;  // Also held while a server says something: it does not leave meanwhile.
  std::vector<const BlockedThreads*> servers_;  // Guarded by mutex_.
  const Limits limits_;
  // When the call was made that has not come back in time.
  std::atomic<Clock::TimePoint> waits_since_{kNotBlocked};
  std::jthread thread_;  // Stopped and joined first.
};

BlockedThreads::BlockedThreads(Running running, OnBlocked on_blocked, Limits limits)
    : running_(std::move(running)),
      on_blocked_(std::move(on_blocked)),
      watch_(Watch::For(*this, limits)) {}

BlockedThreads::~BlockedThreads() { watch_->Leave(*this); }

bool BlockedThreads::blocked() const { return watch_->blocked(); }

bool BlockedThreads::blocked_for_long() const { return watch_->blocked_for_long(); }

void BlockedThreads::Watch::Run(const std::stop_token& stop) {
  Clock& clock = Clock::Steady();
  const std::shared_ptr<grpc::Channel>& nowhere = Nowhere();
  Clock::TimePoint next_word = Clock::TimePoint::min();
  while (!stop.stop_requested()) {
    const std::shared_ptr<Canary> canary = Canary::Send(nowhere);
    std::unique_lock lock(canary->mutex);
    const auto back = [&canary] { return canary->back; };
    const Clock::TimePoint sent = clock.Now();
    const Clock::TimePoint late = sent + limits_.blocked;
    Clock::TimePoint until = late;
    while (!clock.WaitUntil(lock, canary->changed, until, stop, back)) {
      if (stop.stop_requested()) return;
      waits_since_ = sent;
      if (clock.Now() >= next_word) {
        next_word = clock.Now() + kQuiet;
        lock.unlock();  // The first thread that is free again takes it, and must not wait.
        Say();
        lock.lock();
      }
      until = next_word;
    }
    waits_since_ = kNotBlocked;
    clock.WaitUntil(lock, canary->changed, late, stop, [] { return false; });
  }
}

}  // namespace rpc
