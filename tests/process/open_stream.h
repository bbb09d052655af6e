#ifndef TESTS_PROCESS_OPEN_STREAM_H_
#define TESTS_PROCESS_OPEN_STREAM_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/status.h"

namespace process_test {

// A stream of any method of any service, held open by its caller: it sends one message, leaves its
// side open, and reads nothing until Read() is called.
//
// Works on bytes, so that it needs no generated code for gRPC's own services (health, reflection).
//
// Every wait ends `limit` after the construction.
//
// Threads: one at a time.
class OpenStream {
 public:
  // `method`: "/grpc.health.v1.Health/Watch". `request`: one message, serialized.
  OpenStream(std::shared_ptr<grpc::Channel> channel, const std::string& method,
             const std::string& request, std::chrono::seconds limit);
  // Cancels the stream if it is still open.
  ~OpenStream();
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;

  // The next message, serialized. Unset: the stream has ended.
  std::optional<std::string> Read();

  // Reads the rest, then returns how the stream ended.
  grpc::Status Finish();

 private:
  // Waits for the operation that was just started; returns whether it succeeded.
  bool Done();

  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::optional<grpc::Status> status_;
};

}  // namespace process_test

#endif  // TESTS_PROCESS_OPEN_STREAM_H_
