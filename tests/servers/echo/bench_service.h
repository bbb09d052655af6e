#ifndef TESTS_SERVERS_ECHO_BENCH_SERVICE_H_
#define TESTS_SERVERS_ECHO_BENCH_SERVICE_H_

#include <functional>
#include <utility>

#include "tests/servers/echo/bench.grpc.pb.h"

namespace bench {

// The service of bench.proto, on the harness's streams. tests/bench/bare_service.h is the same by
// hand.
//
// Threads: gRPC's. No handler blocks.
// Lifetime: outlives its server.
class BenchService final : public Bench::CallbackService {
 public:
  // `on_stream` is called for each stream, before it begins; empty: nothing is.
  explicit BenchService(std::function<void()> on_stream = {}) : on_stream_(std::move(on_stream)) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const EchoRequest* request,
                                 EchoReply* reply) override;
  grpc::ServerWriteReactor<Event>* Watch(grpc::CallbackServerContext* context,
                                         const WatchRequest* request) override;
  grpc::ServerBidiReactor<ChatMessage, ChatMessage>* Chat(
      grpc::CallbackServerContext* context) override;
  grpc::ServerReadReactor<ChatMessage>* Hold(grpc::CallbackServerContext* context,
                                             EchoReply* reply) override;

 private:
  const std::function<void()> on_stream_;
};

}  // namespace bench

#endif  // TESTS_SERVERS_ECHO_BENCH_SERVICE_H_
