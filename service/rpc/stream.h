#ifndef SERVICE_RPC_STREAM_H_
#define SERVICE_RPC_STREAM_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "google/protobuf/message.h"
#include "grpcpp/alarm.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "service/rpc/follow_up.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/half_close.h"
#include "service/rpc/status.h"
#include "service/rpc/stream_order.h"

namespace rpc {

// Base classes for streaming handlers. A stream is a class that derives from ServerStream,
// ClientStream or BidiStream, and says what its messages are and where a caller resumes:
//
//   class Count final : public rpc::ServerStream<v1::CountResponse> {
//    public:
//     explicit Count(const v1::CountRequest& request) : last_(request.last()) {}
//
//    private:
//     bool Next(v1::CountResponse& message) override {
//       if (number_ == last_) End(absl::OkStatus());
//       if (ended()) return false;
//       message.set_number(++number_);
//       return true;
//     }
//     rpc::ResumePoint Goodbye() override {
//       return {"counter.v1", {{"resume_token", std::to_string(number_)}}};
//     }
//     const int last_;
//     int number_ = 0;
//   };
//
// The service's method returns it:
//
//   grpc::ServerWriteReactor<v1::CountResponse>* Count(grpc::CallbackServerContext*,
//                                                      const v1::CountRequest* request) override {
//     return rpc::Serve<Count>(*request);
//   }
//
// StreamOrder (stream_order.h) does everything else: it orders reads and writes, says the goodbye,
// and ends the stream. Its protected methods, such as End() and WakeAfter(), are for streams to
// call. No method may block.
//
// Messages are Protobuf's, or grpc::ByteBuffer for a raw method.
//
// A caller who leaves, or sends too large a message, has not sent all: that is only known in a
// ServerHost, or where HandlerGuard is installed.
//
// Lifetime: Serve() creates the stream, which is destroyed when its call is over; where one of its
// timers or a StreamHandle is at work in it at that moment, when that returns. References that it is
// given must outlive the server, and those threads; the method's own arguments are there until the
// stream ends.

namespace stream_internal {

// gRPC reports a message that cannot be parsed like the caller's half-close. Parsing clears the
// message first, so a field that no message can have tells them apart: it is still there after a
// half-close.
constexpr int kMark = (1 << 29) + 1;

inline void Mark(google::protobuf::Message& message) {
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(kMark, 0);
}
inline bool IsMarked(const google::protobuf::Message& message) {
  const auto& fields = message.GetReflection()->GetUnknownFields(message);
  return fields.field_count() > 0 && fields.field(fields.field_count() - 1).number() == kMark;
}
inline std::size_t SizeOf(const google::protobuf::Message& message) {
  return message.ByteSizeLong();
}
inline void MakeWritable(google::protobuf::Message&) {}

// Raw bytes are not parsed.
inline void Mark(grpc::ByteBuffer&) {}
inline bool IsMarked(const grpc::ByteBuffer&) { return true; }
inline std::size_t SizeOf(const grpc::ByteBuffer& message) { return message.Length(); }
// To gRPC, a cleared one is none, and not an empty message.
inline void MakeWritable(grpc::ByteBuffer& message) {
  const grpc::Slice nothing;
  if (!message.Valid()) message = grpc::ByteBuffer(&nothing, 1);
}

// Two messages: one is written while the next one is filled.
template <typename Response>
class Outbox {
 public:
  Response& Cleared() {
    next().Clear();
    return next();
  }
  std::size_t Take() {
    MakeWritable(next());
    next_ = 1 - next_;
    return SizeOf(taken());
  }
  const Response& taken() const { return messages_[1 - next_]; }

 private:
  Response& next() { return messages_[next_]; }

  std::array<Response, 2> messages_;
  std::size_t next_ = 0;
};

}  // namespace stream_internal

template <typename ResponseType>
class ServerStream : public StreamOrder {
 public:
  using Response = ResponseType;

  // For the transport.
  const Response& outgoing() const { return outbox_.taken(); }

 protected:
  ServerStream() : StreamOrder(/*writes=*/true, /*reads=*/false) {}

  // Fills the next message, which is empty. False: there is none yet; called again after
  // StreamHandle::Wake(), after WakeAfter(), and after any other event of the stream: that it is
  // called does not mean that there is news.
  virtual bool Next(Response& message) = 0;

  // As Next(), for a stream that has been idle. See BeatWhenIdle().
  virtual bool Heartbeat(Response& /*message*/) { return false; }

  // Where to resume after the last message that Next() filled.
  ResumePoint Goodbye() override = 0;

 private:
  bool Fill() final { return Next(outbox_.Cleared()); }
  bool FillHeartbeat() final { return Heartbeat(outbox_.Cleared()); }
  std::size_t Take() final { return outbox_.Take(); }
  void Receive() final {}
  void OnHalfClose() final {}
  bool CanRead() final { return false; }

  stream_internal::Outbox<Response> outbox_;
};

template <typename RequestType>
class ClientStream : public StreamOrder {
 public:
  using Request = RequestType;

  // For transports.
  Request& incoming() { return request_; }

 protected:
  ClientStream() : StreamOrder(/*writes=*/false, /*reads=*/true) {}

  // The caller has sent a message, which stays valid until the next one is read: when this has
  // returned and nothing holds the stream.
  virtual void OnMessage(Request& message) = 0;

  // The caller has sent all its messages. Once nothing holds the stream, it ends with OK, unless it
  // has ended already, and the caller gets the response that the service's method was given.
  virtual void OnAllSent() = 0;

  // Where to resume: after the last message whose effect outlives this process.
  ResumePoint Goodbye() override = 0;

 private:
  bool Fill() final { return false; }
  bool FillHeartbeat() final { return false; }
  std::size_t Take() final { return 0; }
  void Receive() final { OnMessage(request_); }
  void OnHalfClose() final { OnAllSent(); }
  bool CanRead() final { return true; }

  Request request_;
};

template <typename RequestType, typename ResponseType>
class BidiStream : public StreamOrder {
 public:
  using Request = RequestType;
  using Response = ResponseType;

  // For transports.
  const Response& outgoing() const { return outbox_.taken(); }
  Request& incoming() { return request_; }

 protected:
  BidiStream() : StreamOrder(/*writes=*/true, /*reads=*/true) {}

  // As in ServerStream.
  virtual bool Next(Response& message) = 0;
  virtual bool Heartbeat(Response& /*message*/) { return false; }

  // As in ClientStream.
  virtual void OnMessage(Request& message) = 0;

  // The caller has sent all its messages. Default: ends the stream with OK; so if answers are still
  // to come by then, override it, and end the stream behind the last of them.
  void OnHalfClose() override { End(absl::OkStatus()); }

  // Whether to read another message now. Default: once what Next() has filled is written, so that
  // what waits for a slow caller does not grow. An answer that is still being made elsewhere is not
  // among that: hold the stream until it is there, or keep a queue.
  bool CanRead() override { return !writing(); }

  ResumePoint Goodbye() override = 0;

 private:
  bool Fill() final { return Next(outbox_.Cleared()); }
  bool FillHeartbeat() final { return Heartbeat(outbox_.Cleared()); }
  std::size_t Take() final { return outbox_.Take(); }
  void Receive() final { OnMessage(request_); }

  stream_internal::Outbox<Response> outbox_;
  Request request_;
};

namespace stream_internal {

template <typename Response>
grpc::ServerWriteReactor<Response> ReactorOf(const ServerStream<Response>&);
template <typename Request>
grpc::ServerReadReactor<Request> ReactorOf(const ClientStream<Request>&);
template <typename Request, typename Response>
grpc::ServerBidiReactor<Request, Response> ReactorOf(const BidiStream<Request, Response>&);

// One call of gRPC's callback API, and the stream in it.
template <typename Stream>
class Call final : public decltype(ReactorOf(std::declval<const Stream&>())),
                   public StreamOrder::Transport,
                   public std::enable_shared_from_this<Call<Stream>> {
 public:
  using Reactor = decltype(ReactorOf(std::declval<const Stream&>()));

  template <typename... Arguments>
  Reactor* Begin(Arguments&&... arguments) {
    {
      const StreamOrder::Making making(this->weak_from_this());
      stream_.emplace(std::forward<Arguments>(arguments)...);
    }
    self_ = this->shared_from_this();
    // gRPC has not got the reactor yet, so the call cannot be over before this returns.
    stream_->Begin(*this, method_->Goodbye());
    return this;
  }

 private:
  // Not every kind of reactor has both of these.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winconsistent-missing-override"
#endif
  void OnWriteDone(bool ok) { Report(ok ? StreamOrder::kWritten : StreamOrder::kWriteFailed); }
  void OnReadDone(bool ok) {
    if constexpr (requires { stream_->incoming(); }) {
      if (ok) return Report(StreamOrder::kMessage);
      if (!IsMarked(stream_->incoming())) return Report(StreamOrder::kUndecodable);
      if (call_.context == nullptr) return Report(StreamOrder::kHalfClosed);
      if (call_.context->IsCancelled()) return Report(StreamOrder::kCancelled);
      AskForHalfClose(*call_.context, [owner = this->weak_from_this()](bool half_closed) {
        const std::shared_ptr<Call> self = owner.lock();
        if (self == nullptr) return;
        self->Report(half_closed ? StreamOrder::kHalfClosed : StreamOrder::kCancelled);
      });
    }
  }
#ifdef __clang__
#pragma clang diagnostic pop
#endif
  void Report(StreamOrder::CallEvent event) {
    FollowUp([this, event] { stream_->Post(event); });
  }
  void OnCancel() override { stream_->Post(StreamOrder::kCancelled); }
  void OnDone() override { stream_->Post(StreamOrder::kDone); }

  void Write(bool hinted) override {
    if constexpr (requires { stream_->outgoing(); }) {
      grpc::WriteOptions options;
      if (hinted) options.set_buffer_hint();
      StartHere(call_.queue, [&] { this->StartWrite(&stream_->outgoing(), options); });
    }
  }
  void Read() override {
    if constexpr (requires { stream_->incoming(); }) {
      Mark(stream_->incoming());
      StartHere(call_.queue, [&] { this->StartRead(&stream_->incoming()); });
    }
  }
  void Finish(const absl::Status& status) override {
    const grpc::Status answer = ToGrpc(status);
    method_->Answered(call_.context, answer.error_code());
    Reactor::Finish(answer);
  }
  void SetTimer(std::chrono::milliseconds delay) override {
    Set(timer_, delay, StreamOrder::kTimer);
  }
  void SetIdleTimer(std::chrono::milliseconds delay) override {
    Set(idle_timer_, delay, StreamOrder::kIdle);
  }
  void Release() override {
    timer_.reset();
    idle_timer_.reset();
    const std::shared_ptr<Call> self = std::move(self_);
  }

  void Set(std::optional<grpc::Alarm>& alarm, std::chrono::milliseconds delay,
           StreamOrder::CallEvent event) {
    // A new alarm each time: the last one's callback may still run. It does not keep the stream: that
    // of one that is cancelled runs later, on a thread that no server waits for.
    alarm.emplace().Set(std::chrono::system_clock::now() + delay,
                        [owner = this->weak_from_this(), event](bool passed) {
                          if (!passed) return;
                          if (const auto self = owner.lock()) self->stream_->Post(event);
                        });
  }

  const std::shared_ptr<GuardedMethod> method_ = GuardedMethod::Current();
  const GuardedMethod::RunningCall call_ = GuardedMethod::CurrentCall();
  std::optional<Stream> stream_;
  std::optional<grpc::Alarm> timer_;
  std::optional<grpc::Alarm> idle_timer_;
  std::shared_ptr<Call> self_;  // Until the call is over.
};

}  // namespace stream_internal

// Constructs a stream from `arguments` and returns what the method of a callback service returns. In
// a drain of its server (ServerHost) the stream says goodbye.
//
// Requires: it is called in the method.
template <typename Stream, typename... Arguments>
auto* Serve(Arguments&&... arguments) {
  return std::make_shared<stream_internal::Call<Stream>>()->Begin(
      std::forward<Arguments>(arguments)...);
}

}  // namespace rpc

#endif  // SERVICE_RPC_STREAM_H_
