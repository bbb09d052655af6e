#include "service/rpc/half_close.h"

#include <atomic>
#include <memory>
#include <utility>

#include "grpc/byte_buffer.h"
#include "grpc/grpc.h"
#include "grpcpp/server_context.h"

namespace rpc {
namespace {

// A read of a call, which it keeps.
class LastRead final : public grpc_completion_queue_functor {
 public:
  LastRead(grpc_call* call, std::function<void(bool)> tell)
      : grpc_completion_queue_functor{}, call_(call), tell_(std::move(tell)) {
    functor_run = [](grpc_completion_queue_functor* read, int succeeded) {
      const std::unique_ptr<LastRead> self(static_cast<LastRead*>(read));
      self->begun_.load(std::memory_order_acquire);
      self->tell_(succeeded != 0 && self->message_ == nullptr &&
                  grpc_call_failed_before_recv_message(self->call_) == 0);
    };
    grpc_call_ref(call_);
  }
  ~LastRead() {
    if (message_ != nullptr) grpc_byte_buffer_destroy(message_);
    grpc_call_unref(call_);
  }
  LastRead(const LastRead&) = delete;
  LastRead& operator=(const LastRead&) = delete;

  bool Begin() {
    grpc_op read = {};
    read.op = GRPC_OP_RECV_MESSAGE;
    read.data.recv_message.recv_message = &message_;
    begun_.store(true, std::memory_order_release);
    return grpc_call_start_batch(call_, &read, 1, this, nullptr) == GRPC_CALL_OK;
  }

  void Tell(bool half_closed) const { tell_(half_closed); }

 private:
  grpc_call* const call_;
  const std::function<void(bool half_closed)> tell_;
  grpc_byte_buffer* message_ = nullptr;
  // gRPC hands this object from thread to thread, in a way that sanitizers do not see.
  std::atomic<bool> begun_{false};
};

}  // namespace

void AskForHalfClose(grpc::ServerContextBase& context, std::function<void(bool half_closed)> tell) {
  auto read = std::make_unique<LastRead>(context.c_call(), std::move(tell));
  if (!read->Begin()) return read->Tell(false);
  read.release();  // NOLINT(bugprone-unused-return-value): until it is told.
}

}  // namespace rpc
