#ifndef SERVICE_RPC_CONNECTIONS_BOUND_SOCKETS_H_
#define SERVICE_RPC_CONNECTIONS_BOUND_SOCKETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/rpc/connections/descriptor.h"
#include "service/rpc/connections/inherited_sockets.h"

namespace rpc {

// The sockets on which a process is to listen: one for each address that a name has. Those of a host
// name have the same port; those of an "fd:NAME" may have different ones, or be files.
struct BoundSockets {
  std::vector<Descriptor> all;  // At least one.
  std::string unix_path;        // Of the socket file; empty for TCP.
  bool inherited = false;       // Whoever passed them may still listen on them.
  bool shared = false;          // Another process listens on them, too.
};

// How many callers may arrive before one is accepted; the kernel's own limit
// (net.core.somaxconn) applies, too.
inline constexpr int kBacklog = 4096;

// "HOST:PORT" or "[::1]:PORT"; port 0 picks a free one. A host name means every address that it
// has on this machine, all with the same port. "unix:PATH" is a socket file: one on which nobody
// listens any more is replaced. "fd:NAME" is what systemd, or whoever started the process, passes
// under this name (inherited_sockets.h).
//
// Takes the sockets of this address from `inherited` if it has them, whichever form the address
// has.
//
// Connections are refused until somebody calls listen(). A socket file is listened to at once,
// because other processes tell by that whether it is in use.
//
// Errors, each with the address and what to do: INVALID_ARGUMENT (also a socket that was passed
// and does not listen for connections), NOT_FOUND (no such host, or nothing was passed under that
// name), ALREADY_EXISTS (in use), PERMISSION_DENIED, UNAVAILABLE.
absl::StatusOr<BoundSockets> BindAddress(const std::string& address, InheritedSockets* inherited);

// What to say when bind() or listen() failed with this errno.
absl::Status BindError(const std::string& address, int error);

// What the connections of a listening socket have in common with it and with no other's: the port
// of their own end, or the name of a unix socket. Empty: neither.
std::string LocalAddress(int fd);

// The bound address: "127.0.0.1:50051", "[::1]:50051", "unix:/run/orders.sock"; of a socket that was
// passed also "unix-abstract:orders" ("@orders" in a .socket unit).
std::string BoundAddress(int fd);

// Whether it is a socket that does not listen.
bool IsConnected(int fd);

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_BOUND_SOCKETS_H_
