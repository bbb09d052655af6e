#ifndef TESTS_BENCH_BARE_SERVICE_H_
#define TESTS_BENCH_BARE_SERVICE_H_

#include <functional>
#include <stop_token>

#include "grpcpp/support/status.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace bench {

// The service of bench.proto by hand, on nothing but gRPC.
//
// Threads: gRPC's. No handler blocks.
// Lifetime: outlives its server.
class BareService final : public Bench::CallbackService {
 public:
  // Each stream asks `drain` for a token of its own, and ends with `goodbye` once a
  // stop is requested of it.
  BareService(std::function<std::stop_token()> drain, grpc::Status goodbye);

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const EchoRequest* request,
                                 EchoReply* reply) override;
  grpc::ServerWriteReactor<Event>* Watch(grpc::CallbackServerContext* context,
                                         const WatchRequest* request) override;
  grpc::ServerBidiReactor<ChatMessage, ChatMessage>* Chat(
      grpc::CallbackServerContext* context) override;

 private:
  const std::function<std::stop_token()> drain_;
  const grpc::Status goodbye_;
};

}  // namespace bench

#endif  // TESTS_BENCH_BARE_SERVICE_H_
