#ifndef TESTS_PROCESS_HELD_CALL_H_
#define TESTS_PROCESS_HELD_CALL_H_

#include <chrono>
#include <memory>

#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "grpcpp/support/sync_stream.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {

// A call that runs until its caller releases it: what a test wants to see meanwhile may take as long
// as it likes.
//
// Threads: one at a time. The destructor cancels the call if it still runs.
class HeldCall {
 public:
  // `limit`: when it fails at the latest.
  HeldCall(bench::Bench::Stub& stub, std::chrono::seconds limit) {
    context_.set_deadline(std::chrono::system_clock::now() + limit);
    context_.set_wait_for_ready(true);
    call_ = stub.Hold(&context_, &reply_);
  }
  ~HeldCall() {
    if (call_ == nullptr) return;
    context_.TryCancel();
    call_->Finish();
  }
  HeldCall(const HeldCall&) = delete;
  HeldCall& operator=(const HeldCall&) = delete;

  // Lets it be answered, and waits for the answer. Once.
  grpc::Status Release() {
    call_->WritesDone();
    const grpc::Status status = call_->Finish();
    call_ = nullptr;
    return status;
  }

 private:
  grpc::ClientContext context_;
  bench::EchoReply reply_;
  std::unique_ptr<grpc::ClientWriter<bench::ChatMessage>> call_;
};

}  // namespace process_test

#endif  // TESTS_PROCESS_HELD_CALL_H_
