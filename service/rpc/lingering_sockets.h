#ifndef SERVICE_RPC_LINGERING_SOCKETS_H_
#define SERVICE_RPC_LINGERING_SOCKETS_H_

#include <cstdint>
#include <mutex>
#include <vector>

namespace rpc {

// Two GOAWAYs, a PING and what TLS adds: so few unacknowledged bytes are no answer, and no
// caller misses them.
inline constexpr int kControlFrameBytes = 128;

// Lets the kernel send what it still holds for callers when gRPC closes their connections.
//
// The problem: once a connection has been sent its last GOAWAY, gRPC closes it as soon as the
// last answer on it is in the kernel's send buffer, up to 4 MB before it is at the caller's.
// It calls shutdown(SHUT_RDWR), and the kernel answers the next byte from the caller (a
// WINDOW_UPDATE, which every long answer brings about) with RST and drops what it has not
// sent (Linux: tcp_rcv_state_process(), TCPABORTONDATA). There is no setting against it.
//
// So the process' shutdown() is the one that is defined here. While an object of this class
// lives, a connection to one of `ports` with unacknowledged bytes is closed for sending
// alone, and a duplicate of its descriptor is kept: a lingering close, as web servers do it.
//
// Threads: all methods may be called from any thread; gRPC closes connections on its own.
class LingeringSockets {
 public:
  // `ports`: the local ports of the connections, IPv4 and IPv6. gRPC has been started.
  explicit LingeringSockets(std::vector<std::uint16_t> ports);
  // Closes what it keeps; what is unacknowledged then may be lost.
  ~LingeringSockets();
  LingeringSockets(const LingeringSockets&) = delete;
  LingeringSockets& operator=(const LingeringSockets&) = delete;

  // How many connections gRPC has closed whose bytes have not all been acknowledged by the
  // caller's kernel. Reads and drops what their callers send, so it must be called again and
  // again until it is 0. One that its caller has reset does not count: that was the caller's
  // will.
  int Count();

  // For shutdown(): whether the connection is kept, and may be closed for sending alone.
  bool Keep(int fd);

 private:
  bool IsOurs(int fd) const;

  const std::vector<std::uint16_t> ports_;
  const std::vector<int> pollers_;  // Every epoll descriptor of the process.
  mutable std::mutex mutex_;
  std::vector<int> kept_;  // Guarded by mutex_: until the caller has closed it as well.
};

// Ends a connection now, whatever the kernel still holds for its caller: gRPC sees its end,
// and nothing lingers.
void CutConnection(int fd);

}  // namespace rpc

#endif  // SERVICE_RPC_LINGERING_SOCKETS_H_
