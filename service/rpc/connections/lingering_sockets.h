#ifndef SERVICE_RPC_CONNECTIONS_LINGERING_SOCKETS_H_
#define SERVICE_RPC_CONNECTIONS_LINGERING_SOCKETS_H_

#include <cstdint>
#include <mutex>
#include <vector>

namespace rpc {

// Two GOAWAYs, a PING and the overhead of TLS: so few unacknowledged bytes are taken for these, which
// no caller misses. TCP does not say what they are: an answer of less than some 60 bytes to a caller
// who has vanished is not counted as lost.
inline constexpr int kControlFrameBytes = 128;

// Lets the kernel deliver what it still holds for callers when gRPC closes their connections.
//
// The problem: once a connection has sent its last GOAWAY, gRPC closes it as soon as the last
// answer is in the kernel's send buffer, up to 4 MB before it has reached the caller. It calls
// shutdown(SHUT_RDWR), and the kernel answers the next byte from the caller (a WINDOW_UPDATE, which
// every long answer causes) with a RST and drops what it has not sent (Linux:
// tcp_rcv_state_process(), TCPABORTONDATA). No setting prevents it.
//
// So the process uses the shutdown() that is defined here. While an object of this class exists, a
// connection to one of `ports` with unacknowledged bytes is closed for sending only, and a
// duplicate of its descriptor is kept: a lingering close, as web servers do it.
//
// Threads: all methods may be called from any thread; gRPC closes connections on its own threads.
class LingeringSockets {
 public:
  // `ports`: the local ports of the connections, IPv4 and IPv6. Requires: gRPC was started.
  explicit LingeringSockets(std::vector<std::uint16_t> ports);
  // Closes the connections it keeps; their unacknowledged bytes may be lost.
  ~LingeringSockets();
  LingeringSockets(const LingeringSockets&) = delete;
  LingeringSockets& operator=(const LingeringSockets&) = delete;

  // Whether of all connections that gRPC has closed the caller's kernel has acknowledged every byte
  // and the caller has closed its side, too: that kernel may be a proxy's, which drops what it has not
  // passed on when we answer its caller's next byte with a RST. One that its caller has reset is
  // closed: the caller wanted that.
  //
  // Reads and drops what their callers send, so it must be called repeatedly until it is true.
  bool AllClosed();

  // For shutdown(): whether the connection is kept and should be closed for sending only.
  bool Keep(int fd);

  // Whether further ones are kept, besides those that are.
  void KeepFurther(bool may);

  // Whether it is a descriptor of a connection that is kept.
  bool Has(int fd) const;

 private:
  bool IsOurs(int fd) const;

  const std::vector<std::uint16_t> ports_;
  const std::vector<int> pollers_;  // All epoll descriptors of the process.
  mutable std::mutex mutex_;
  std::vector<int> kept_;  // Guarded by mutex_: until the caller has closed it, too.
  bool keeps_ = true;      // Guarded by mutex_.
};

// Ends a connection now, whatever the kernel still holds for its caller: gRPC sees its end, and
// nothing lingers.
void CutConnection(int fd);

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_LINGERING_SOCKETS_H_
