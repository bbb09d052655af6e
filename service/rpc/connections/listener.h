#ifndef SERVICE_RPC_CONNECTIONS_LISTENER_H_
#define SERVICE_RPC_CONNECTIONS_LISTENER_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/rpc/connections/bound_sockets.h"
#include "service/rpc/connections/inherited_sockets.h"

namespace rpc {

// Accepts connections on one address until it is closed. An address may stand for several sockets,
// also on different ports: a host name, or the "fd:NAME" of a unit. All that is said here is true
// of the connections of each.
//
// The problem: a gRPC server closes its own ports only in Shutdown(), which at the same moment
// refuses new calls on existing connections. A separate listener can be closed first.
//
// It also opens them before anybody serves there: who connects meanwhile waits, up to its own
// timeout, although another replica would serve. Here callers of a TCP address that is bound here are
// refused until Listen(). Those of a socket file, and of sockets that others have listened on before,
// do wait.
//
// Guarantees: once started, every connection that was established when Close() was called is handed
// over, not reset; later ones are refused, or wait for the successor that shares the socket.
// Close() ends however fast peers connect. A connection for which the process has too few
// descriptors is accepted and reset, so that its caller knows at once. When not even one is left,
// connections wait until there is.
//
// Threads: Close() and the destructor on one thread, the rest on any. `accept`, `refused` and
// `cannot_accept` run on the listener's own thread.
class Listener {
 public:
  // Receives a connected socket, non-blocking and close-on-exec, and owns it. `listener_fd` is the
  // socket that accepted it.
  using Accept = std::function<void(int listener_fd, int fd)>;

  // Binds an address (bound_sockets.h), or takes its sockets from `inherited`: others listen on those
  // already, and go on when this listener is closed; callers who wait to be accepted are then left
  // to them. The file of a "unix:PATH" goes with Close() if it was bound here, or if Start() was
  // called: until then its predecessor may serve on.
  //
  // Connections are refused before Listen() if the address is TCP and was bound here, else queued. The
  // accepting thread already exists, so that Start() cannot fail.
  //
  // Errors: those of BindAddress(), and UNAVAILABLE when a thread cannot be created.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& address,
                                                        InheritedSockets* inherited = nullptr);

  // Closes the listener if it is open.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Connections are queued from now on at the latest until Start(), and reset if the listener is
  // closed before.
  //
  // Errors: ALREADY_EXISTS when another process that had bound the same port was faster.
  absl::Status Listen();

  // Accepts from now on. Call it once. Requires: Listen() was OK.
  //
  // Refuses a connection that would get a descriptor of `max_descriptors` or above, and calls
  // `refused`: the kernel assigns the lowest free number, so at that point that many descriptors
  // are in use. Calls `cannot_accept` with an errno, EMFILE for one, each time it has tried in vain:
  // up to a hundred times a second.
  void Start(Accept accept, int max_descriptors = std::numeric_limits<int>::max(),
             std::function<void()> refused = {}, std::function<void(int error)> cannot_accept = {});

  // Hands over connections that have arrived, unless somebody else accepts them, then stops
  // listening. Waits for `accept` to return. Closing twice does nothing.
  void Close();

  // Its sockets once more, for a process that takes them over; none if it is closed, or if there are
  // too few descriptors for all. The caller closes them. From any thread.
  std::vector<int> Duplicate() const;

  // Another process listens on these sockets, too, from now on: Close() leaves it the callers who
  // wait to be accepted, and the socket file. From any thread.
  void LeaveToSuccessor() { shared_ = true; }

  // Another process has these sockets, too, and may yet come to accept: Close() leaves it the socket
  // file, but no caller who waits. From any thread.
  void LeaveFileToSuccessor() { file_is_anothers_ = true; }

  // Whether callers who come after Close() wait for somebody else to accept them, and are not refused.
  // Nobody here can know whether anybody will, and to reset them would also reset those of a process
  // that does accept at this socket. From any thread.
  bool shared() const { return shared_; }

  // Ends every open connection that was accepted here, at the socket. gRPC cannot do that: a
  // connection whose peer does not read closes only after what it is writing (grpc/grpc:
  // chttp2_transport.cc, close_transport_locked).
  //
  // Also ends any other connection of this process with one of its local ports.
  void CutConnections() const;

  // Ends the connections for which `which` is true, with a reset once gRPC closes them: a peer that
  // has filled its own buffers would not see anything else.
  void ResetConnections(const std::function<bool(int fd)>& which) const;

  // Calls `look` with each of those connections, and with any other that CutConnections() would end.
  // gRPC may close it meanwhile, so only look at it.
  void ForEachConnection(const std::function<void(int fd)>& look) const;

  // The bound TCP ports, each once; none for a socket file.
  std::vector<std::uint16_t> ports() const;

  // The bound address, the first of several: "127.0.0.1:50051", "unix:/run/orders.sock".
  const std::string& address() const { return address_; }

 private:
  Listener(BoundSockets bound, Descriptor wake);
  // Waits for Start(), or for Close() without it.
  void Run();
  // Accepts up to `most` connections from a socket. False: it cannot for the moment, for example
  // because descriptors ran out.
  bool AcceptArrived(int listener_fd, int most);

  mutable std::mutex closing_;
  std::vector<Descriptor> sockets_;  // Empty: closed. Changed with closing_ held.
  const Descriptor wake_;            // An eventfd, readable once Close() is called.
  // The sockets' local addresses, as LocalAddress() has them, each once.
  const std::vector<std::string> locals_;
  const std::string address_;
  const std::string unix_path_;              // Of the socket file; empty for TCP.
  const std::pair<dev_t, ino_t> unix_file_;  // Which file that was.
  Accept accept_;
  int max_descriptors_ = 0;
  std::function<void()> refused_;
  std::function<void(int error)> cannot_accept_;
  std::atomic<bool> file_is_anothers_;  // Close() leaves it.
  std::atomic<bool> shared_;            // Others listen on these sockets, too.
  std::atomic<bool> may_run_{false};    // Everything that Run() uses is set.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_LISTENER_H_
