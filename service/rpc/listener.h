#ifndef SERVICE_RPC_LISTENER_H_
#define SERVICE_RPC_LISTENER_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace rpc {

// Accepts connections on one address until it is closed.
//
// The problem: a gRPC server closes its own ports only in Shutdown(), which at the
// same moment refuses what its callers send on the connections they have. With a
// listener apart from the server the first can come before the second.
//
// Guarantees: once started, every connection that was established when Close() was
// called is handed over, not reset; later ones are refused. Close() ends however fast
// peers connect. A connection for which the process has too few descriptors is accepted
// and reset, so that its caller knows at once.
//
// Threads: Close() and the destructor on one thread, the rest on any. `accept` and
// `refused` run on the listener's own thread.
class Listener {
 public:
  // Is given a connected socket, non-blocking, closed on exec; owns it from then
  // on. `listener_fd` is the socket that it came from.
  using Accept = std::function<void(int listener_fd, int fd)>;

  // "HOST:PORT", "[::1]:PORT"; port 0: any free one. A host name means every address
  // that it has on this machine, all with the same port. "unix:PATH" is a socket file: one
  // that nobody listens at any more is replaced, and Close() removes its own.
  //
  // Nobody is accepted before Start(): who connects waits, and is reset when it is
  // closed without. The thread that accepts is there already: Start() needs nothing.
  //
  // Errors, each with the address and what to do: INVALID_ARGUMENT, NOT_FOUND (no
  // such host), ALREADY_EXISTS (in use), PERMISSION_DENIED, UNAVAILABLE (also for want of
  // a thread).
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& address);

  // Closes when it is not closed yet.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Accepts from now on. Once.
  //
  // Refuses a connection that would take a descriptor of number `max_descriptors` or
  // above, and calls `refused`: the kernel gives the lowest that is free, so then so many
  // are in use, whatever for.
  void Start(Accept accept, int max_descriptors = std::numeric_limits<int>::max(),
             std::function<void()> refused = {});

  // Hands over what has arrived, then stops listening. Waits for `accept` to
  // return. Closing twice does nothing.
  void Close();

  // Ends every connection that came in here and is still open, at the socket, which
  // gRPC cannot: a connection whose peer does not read it closes only after what it
  // is writing (grpc/grpc: chttp2_transport.cc, close_transport_locked).
  //
  // Also ends any other connection of this process whose local port is the same.
  void CutConnections() const;

  // Ends those of them for which `which` is true, with a reset once gRPC closes them: the
  // peer may have filled its own buffers, and would not see anything else.
  void ResetConnections(const std::function<bool(int fd)>& which) const;

  // Calls `look` with each of those connections. gRPC may close it meanwhile, so look and
  // do nothing else.
  void ForEachConnection(const std::function<void(int fd)>& look) const;

  // The TCP ports that are bound; none of a socket file.
  std::vector<std::uint16_t> ports() const;

  // "127.0.0.1:50051", "unix:/run/orders.sock": what is bound, the first of several.
  const std::string& address() const { return address_; }

 private:
  // Closed with the object.
  struct Socket {
    explicit Socket(int fd);
    ~Socket();
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    const int fd;
  };
  using Sockets = std::vector<std::unique_ptr<Socket>>;

  Listener(Sockets sockets, std::unique_ptr<Socket> wake, std::string unix_path);
  static absl::StatusOr<Sockets> BindTcp(const std::string& address);
  static absl::StatusOr<Sockets> BindUnix(const std::string& address, const std::string& path);
  // Waits for Start(), or for Close() without it.
  void Run();
  // Accepts from a socket, `most` at a time. False: it cannot for the moment, for want of
  // file descriptors perhaps.
  bool AcceptArrived(int listener_fd, int most);

  Sockets sockets_;                     // None: it is closed.
  const std::unique_ptr<Socket> wake_;  // An eventfd: readable once Close() was called.
  const std::string local_;             // The sockets' local address, as LocalAddress() has it.
  const std::string address_;
  const std::string unix_path_;              // Of the socket file; empty for TCP.
  const std::pair<dev_t, ino_t> unix_file_;  // Which file that was.
  Accept accept_;
  int max_descriptors_ = 0;
  std::function<void()> refused_;
  std::atomic<bool> may_run_{false};  // What Run() uses is set.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_LISTENER_H_
