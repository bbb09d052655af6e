#ifndef CLIENT_SERVICE_CONFIG_H_
#define CLIENT_SERVICE_CONFIG_H_

#include <string>

namespace client {

// client/service_config.json: how every caller of orders and inventory should call,
// in the form that gRPC understands in each language. In Python, and in Node:
//
//     grpc.insecure_channel(target, options=[("grpc.service_config", text)])
//     new OrdersService(target, credentials, {'grpc.service_config': text})
//
// What it says, and why:
//  * round_robin with health checking (of "", the whole server): a caller leaves a
//    server that is about to stop while that still answers. Either half alone loses
//    calls.
//  * Every unary method waits for a server (so give each call a deadline) and is
//    tried up to five times. All of them may be repeated: those that change
//    something are idempotent by an id.
//  * CANCELLED is retried too: it is how gRPC C++ ends a call that crosses the
//    server's shutdown. A call that its caller cancels is not tried again.
//  * Streams are left out: only who reads one knows where to go on.
//  * Retries pause when 50 calls have failed that no successes (ten for one) make up
//    for: then it is the server that needs help.
std::string ServiceConfig();

}  // namespace client

#endif  // CLIENT_SERVICE_CONFIG_H_
