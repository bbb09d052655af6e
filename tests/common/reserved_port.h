#ifndef TESTS_COMMON_RESERVED_PORT_H_
#define TESTS_COMMON_RESERVED_PORT_H_

#include <string>

namespace testkit {

// A free port of 127.0.0.1 that stays one server's own while that is restarted.
//
// The problem: between a server's end and its next start nobody holds its port, and
// the kernel may give it to somebody else: as the near end of any connection, even of
// one that is being made to this very port, which then talks to itself. So a socket
// that never listens is bound to it for as long as this object lives. Connections are
// refused while the server is down, and a server that sets SO_REUSEADDR, as all do,
// can listen beside it.
//
// Threads: any.
class ReservedPort {
 public:
  // Ends the process with a sentence when there is no port left.
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
