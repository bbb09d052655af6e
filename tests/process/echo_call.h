#ifndef TESTS_PROCESS_ECHO_CALL_H_
#define TESTS_PROCESS_ECHO_CALL_H_

#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <string>
#include <utility>

#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {

// What Echo takes for never (tests/servers/echo/bench.proto).
inline constexpr std::uint32_t kForEver = std::numeric_limits<std::uint32_t>::max();

// A unary call that is in flight from its construction on; waits for its server.
//
// Threads: one at a time. The destructor cancels the call if it still runs.
class EchoCall {
 public:
  // `sleep_ms`: when it is answered. `limit`: when it fails at the latest. `payload`: is sent, and
  // sent back.
  EchoCall(bench::Bench::Stub& stub, std::uint32_t sleep_ms, std::chrono::seconds limit,
           std::string payload = "") {
    request_.set_sleep_ms(sleep_ms);
    request_.set_payload(std::move(payload));
    context_.set_deadline(std::chrono::system_clock::now() + limit);
    context_.set_wait_for_ready(true);
    stub.async()->Echo(&context_, &request_, &reply_,
                       [this](grpc::Status status) { status_.set_value(std::move(status)); });
  }
  ~EchoCall() {
    context_.TryCancel();
    answer_.wait();
  }
  EchoCall(const EchoCall&) = delete;
  EchoCall& operator=(const EchoCall&) = delete;

  bool Answered() const {
    return answer_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  // Waits for the answer.
  grpc::Status Status() { return answer_.get(); }
  // The payload that came back. Requires: Status() was called.
  const std::string& Payload() const { return reply_.payload(); }

 private:
  bench::EchoRequest request_;
  bench::EchoReply reply_;
  grpc::ClientContext context_;
  std::promise<grpc::Status> status_;
  std::shared_future<grpc::Status> answer_ = status_.get_future().share();
};

}  // namespace process_test

#endif  // TESTS_PROCESS_ECHO_CALL_H_
