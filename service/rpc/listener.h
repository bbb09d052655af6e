#ifndef SERVICE_RPC_LISTENER_H_
#define SERVICE_RPC_LISTENER_H_

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace rpc {

// A TCP port that accepts connections until it is closed.
//
// The problem: a gRPC server closes its own ports only in Shutdown(), which at the
// same moment refuses what its callers send on the connections they have. With a
// listener apart from the server the first can come before the second.
//
// Guarantees: once started, every connection that was established when Close() was
// called is handed over, not reset; later ones are refused.
//
// Threads: Close() and the destructor on one thread, the rest on any. `accept`
// runs on the listener's own thread.
class Listener {
 public:
  // Is given a connected socket, non-blocking, closed on exec; owns it from then
  // on. `listener_fd` is the socket that it came from.
  using Accept = std::function<void(int listener_fd, int fd)>;

  // Binds `address` ("HOST:PORT", "[::1]:PORT"; port 0: any free one) and listens.
  // Nobody is accepted before Start(): who connects waits, and is reset when it is
  // closed without.
  //
  // Errors, each with the address and what to do: INVALID_ARGUMENT, NOT_FOUND (no
  // such host), ALREADY_EXISTS (in use), PERMISSION_DENIED, UNAVAILABLE.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& address);

  // Closes when it is not closed yet.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Accepts from now on. Once.
  void Start(Accept accept);

  // Hands over what has arrived, then stops listening. Waits for `accept` to
  // return. Closing twice does nothing.
  void Close();

  // Ends every connection that came in here and is still open, at the socket, which
  // gRPC cannot: a connection whose peer does not read it closes only after what it
  // is writing (grpc/grpc: chttp2_transport.cc, close_transport_locked).
  //
  // Also ends any other connection of this process whose local port is the same.
  void CutConnections() const;

  // "127.0.0.1:50051": what is bound.
  const std::string& address() const { return address_; }

 private:
  Listener(int fd, int wake_fd, std::string address);

  void Run(const Accept& accept);
  // Accepts everybody who has arrived. False: it cannot for the moment, for want of
  // file descriptors perhaps.
  bool AcceptArrived(const Accept& accept);

  int fd_;
  const int wake_fd_;  // An eventfd: readable once Close() was called.
  const in_port_t port_;
  const std::string address_;
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_LISTENER_H_
