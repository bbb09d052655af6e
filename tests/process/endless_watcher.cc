// A caller in a process of its own:   endless_watcher HOST:PORT
//
// Opens a stream that says one message and then no more, prints "watching", and reads
// until the stream ends.
#include <cstdint>
#include <cstdio>
#include <limits>

#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "tests/servers/echo/bench.grpc.pb.h"

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  const auto stub =
      bench::Bench::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  bench::WatchRequest request;
  request.set_interval_ms(std::numeric_limits<std::uint32_t>::max());
  bench::Event event;
  const auto stream = stub->Watch(&context, request);
  while (stream->Read(&event)) {
    std::puts("watching");
    std::fflush(stdout);
  }
  return stream->Finish().ok() ? 0 : 3;
}
