#ifndef TESTS_COMMON_RESERVED_PORT_H_
#define TESTS_COMMON_RESERVED_PORT_H_

#include <string>

namespace testkit {

// A free port on 127.0.0.1 that is kept for one server while that is restarted.
//
// The problem: between a server's end and its next start nobody holds its port, and the kernel may
// assign it to another socket: as the local end of any connection, even one that is being made to
// this very port and then talks to itself. So a socket that never listens is bound to it as long as
// this object exists. Connections are refused while the server is down, and a server that sets
// SO_REUSEADDR, as all do, can listen beside it.
//
// Threads: any.
class ReservedPort {
 public:
  // Ends the process with a message when no port is left.
  ReservedPort();
  ~ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  // "127.0.0.1:40123".
  const std::string& address() const { return address_; }

 private:
  int fd_;
  std::string address_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_RESERVED_PORT_H_
