#ifndef CLIENT_SERVICE_CONFIG_H_
#define CLIENT_SERVICE_CONFIG_H_

#include <string>

namespace client {

// client/service_config.json: how every client of orders and inventory should call, in the format
// that gRPC understands in each language. In Python and in Node:
//
//     grpc.insecure_channel(target, options=[("grpc.service_config", text)])
//     new OrdersService(target, credentials, {'grpc.service_config': text})
//
// What it says, and why:
// * round_robin with health checking (of "", the whole server): a client leaves a server that is
//   about to shut down while that still answers. Either half alone loses calls.
// * Every unary method waits for a server (so give each call a deadline) and is tried up to five
//   times. All of them may be repeated: those that change something are idempotent by an id.
// * CANCELLED is retried, too: that is how gRPC C++ ends a call that crosses the server's shutdown.
//   A call that its own caller cancels is not retried.
// * Streams are left out: only the reader of a stream knows where to resume.
// * Retries pause when 50 more calls have failed than successes make up for (ten successes for one
//   failure): then it is the server that needs help.
std::string ServiceConfig();

}  // namespace client

#endif  // CLIENT_SERVICE_CONFIG_H_
