#include "tests/bench/bare_service.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "grpcpp/alarm.h"

namespace bench {
namespace {

constexpr std::uint32_t kForEver = std::numeric_limits<std::uint32_t>::max();

std::chrono::system_clock::time_point After(std::uint32_t ms) {
  return std::chrono::system_clock::now() + std::chrono::milliseconds(ms);
}

// Answers when its alarm goes off, or is cancelled.
class SleepingEcho final : public grpc::ServerUnaryReactor {
 public:
  explicit SleepingEcho(std::uint32_t ms) {
    alarm_.Set(After(ms),
               [this](bool slept) { Finish(slept ? grpc::Status::OK : grpc::Status::CANCELLED); });
  }

  void OnCancel() override { alarm_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  grpc::Alarm alarm_;
};

// Never answers.
class DeafEcho final : public grpc::ServerUnaryReactor {
 public:
  void OnDone() override { delete this; }
};

// A stream is ended by its caller, a cancellation or the drain, perhaps by all at
// once: the first decides. gRPC aborts on an operation that is started after
// Finish(), so one is started only with the mutex held and `ended_` seen false.
// Finish() is called without the mutex: the call may be deleted before it returns.
class Watching final : public grpc::ServerWriteReactor<Event> {
 public:
  Watching(const WatchRequest& request, const std::stop_token& drain, const grpc::Status& goodbye)
      : interval_ms_(request.interval_ms()), drained_(drain, [this, &goodbye] { End(goodbye); }) {
    event_.set_payload(request.payload());
    std::lock_guard lock(mutex_);
    WriteNext();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    std::lock_guard lock(mutex_);
    if (ended_) return;
    if (interval_ms_ == 0) return WriteNext();
    pausing_ = true;
    // Each pause has its own: the last one may not have returned from its callback.
    alarm_.emplace();
    alarm_->Set(After(interval_ms_), [this](bool) { OnPauseOver(); });
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  // Requires: mutex_ is held.
  void WriteNext() {
    if (ended_) return;
    event_.set_seq(event_.seq() + 1);
    StartWrite(&event_);
  }

  void End(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
      // The alarm still needs the call: it finishes it when it is done.
      status_ = status;
      if (pausing_) return alarm_->Cancel();
    }
    Finish(status);
  }

  void OnPauseOver() {
    {
      std::lock_guard lock(mutex_);
      pausing_ = false;
      if (!ended_) return WriteNext();
    }
    Finish(status_);
  }

  const std::uint32_t interval_ms_;
  Event event_;
  std::mutex mutex_;
  bool pausing_ = false;              // Guarded by mutex_: between two events, the alarm set.
  bool ended_ = false;                // Guarded by mutex_: nothing may be started any more.
  grpc::Status status_;               // Guarded by mutex_ until ended_, constant then.
  std::optional<grpc::Alarm> alarm_;  // Guarded by mutex_.
  std::stop_callback<std::function<void()>> drained_;
};

// Ends as Watching does.
class Chatting final : public grpc::ServerBidiReactor<ChatMessage, ChatMessage> {
 public:
  Chatting(const std::stop_token& drain, const grpc::Status& goodbye)
      : drained_(drain, [this, &goodbye] { End(goodbye); }) {
    ReadNext();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);
    std::lock_guard lock(mutex_);
    if (!ended_) StartWrite(&message_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    ReadNext();
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void ReadNext() {
    std::lock_guard lock(mutex_);
    if (!ended_) StartRead(&message_);
  }

  void End(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    Finish(status);
  }

  ChatMessage message_;
  std::mutex mutex_;
  bool ended_ = false;  // Guarded by mutex_: nothing may be started any more.
  std::stop_callback<std::function<void()>> drained_;
};

}  // namespace

BareService::BareService(std::function<std::stop_token()> drain, grpc::Status goodbye)
    : drain_(std::move(drain)), goodbye_(std::move(goodbye)) {}

grpc::ServerUnaryReactor* BareService::Echo(grpc::CallbackServerContext* context,
                                            const EchoRequest* request, EchoReply* reply) {
  reply->set_payload(request->payload());
  if (request->sleep_ms() == kForEver) return new DeafEcho();
  if (request->sleep_ms() > 0) return new SleepingEcho(request->sleep_ms());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<Event>* BareService::Watch(grpc::CallbackServerContext*,
                                                    const WatchRequest* request) {
  return new Watching(*request, drain_(), goodbye_);
}

grpc::ServerBidiReactor<ChatMessage, ChatMessage>* BareService::Chat(grpc::CallbackServerContext*) {
  return new Chatting(drain_(), goodbye_);
}

}  // namespace bench
