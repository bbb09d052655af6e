#include "tests/servers/echo/bench_service.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "grpcpp/alarm.h"
#include "service/rpc/stream.h"

namespace bench {
namespace {

constexpr std::uint32_t kForEver = std::numeric_limits<std::uint32_t>::max();

// Answers when its alarm goes off, or is cancelled.
class SleepingEcho final : public grpc::ServerUnaryReactor {
 public:
  explicit SleepingEcho(std::uint32_t ms) {
    alarm_.Set(std::chrono::system_clock::now() + std::chrono::milliseconds(ms),
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

// Reads until there is no more, or the call is cancelled.
class Holding final : public grpc::ServerReadReactor<ChatMessage> {
 public:
  Holding() { StartRead(&message_); }

  void OnReadDone(bool ok) override {
    if (ok) {
      StartRead(&message_);
    } else {
      Finish(grpc::Status::OK);
    }
  }
  void OnDone() override { delete this; }

 private:
  ChatMessage message_;
};

class Watching final : public rpc::ServerStream<Event> {
 public:
  explicit Watching(const WatchRequest& request)
      : interval_(request.interval_ms()), payload_(request.payload()) {}

 private:
  using Clock = std::chrono::steady_clock;

  bool Next(Event& event) override {
    if (interval_.count() > 0) {
      const Clock::time_point now = Clock::now();
      if (now < next_at_) {
        WakeAfter(std::chrono::ceil<std::chrono::milliseconds>(next_at_ - now));
        return false;
      }
      next_at_ = now + interval_;
    }
    event.set_seq(++seq_);
    event.set_payload(payload_);
    return true;
  }
  rpc::ResumePoint Goodbye() override { return {"bench"}; }

  const std::chrono::milliseconds interval_;
  const std::string payload_;
  Clock::time_point next_at_;
  std::uint64_t seq_ = 0;
};

class Chatting final : public rpc::BidiStream<ChatMessage, ChatMessage> {
  bool Next(ChatMessage& message) override {
    if (!std::exchange(has_message_, false)) return false;
    message.Swap(&message_);
    return true;
  }
  void OnMessage(ChatMessage& message) override {
    message_.Swap(&message);
    has_message_ = true;
  }
  rpc::ResumePoint Goodbye() override { return {"bench"}; }

  ChatMessage message_;
  bool has_message_ = false;
};

}  // namespace

grpc::ServerUnaryReactor* BenchService::Echo(grpc::CallbackServerContext* context,
                                             const EchoRequest* request, EchoReply* reply) {
  reply->set_payload(request->payload());
  if (request->sleep_ms() == kForEver) return new DeafEcho();
  if (request->sleep_ms() > 0) return new SleepingEcho(request->sleep_ms());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<Event>* BenchService::Watch(grpc::CallbackServerContext*,
                                                     const WatchRequest* request) {
  if (on_stream_) on_stream_();
  return rpc::Serve<Watching>(*request);
}

grpc::ServerBidiReactor<ChatMessage, ChatMessage>* BenchService::Chat(
    grpc::CallbackServerContext*) {
  if (on_stream_) on_stream_();
  return rpc::Serve<Chatting>();
}

grpc::ServerReadReactor<ChatMessage>* BenchService::Hold(grpc::CallbackServerContext*, EchoReply*) {
  return new Holding();
}

}  // namespace bench
