#ifndef SERVICE_RPC_CONNECTIONS_INHERITED_SOCKETS_H_
#define SERVICE_RPC_CONNECTIONS_INHERITED_SOCKETS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace rpc {

// Listening sockets that this process did not open: systemd passed them when it started it, or its
// predecessor hands them over (takeover.h). Callers who connect while no process accepts wait in
// them instead of being refused.
//
// Each has names; whoever listens on an address of that name takes it.
//
// Threads: one. Lifetime: closes what nobody has taken.
class InheritedSockets {
 public:
  // Of the names of what was passed at the start: "fd:NAME" and "fd:NUMBER".
  static constexpr char kPrefix[] = "fd:";

  InheritedSockets() = default;
  ~InheritedSockets();
  InheritedSockets(const InheritedSockets&) = delete;
  InheritedSockets& operator=(const InheritedSockets&) = delete;

  // What was passed at the start, as in sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, with
  // the names in LISTEN_FDNAMES, if LISTEN_PID is this process. "fd:orders" means all that are
  // called orders, "fd:3" that one.
  //
  // Errors: INVALID_ARGUMENT, with the name and the value of a variable that makes no sense.
  static absl::StatusOr<std::shared_ptr<InheritedSockets>> FromEnvironment(
      const std::function<const char*(const char* variable)>& environment);

  // Owns `fd` from now on.
  void Add(int fd, std::vector<std::string> names);

  bool Has(const std::string& name) const;

  // The sockets of this name, which the caller owns from now on.
  std::vector<int> Take(const std::string& name);

  // The first name of a socket that none of `names` stands for; empty: there is none.
  std::string FirstNotIn(const std::vector<std::string>& names) const;

  // What is there, for people: "fd:orders and fd:admin were passed", "no socket was passed".
  std::string Describe() const;

 private:
  struct Socket {
    int fd;
    std::vector<std::string> names;
    bool IsCalled(const std::string& name) const;
  };
  std::vector<Socket> sockets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_INHERITED_SOCKETS_H_
