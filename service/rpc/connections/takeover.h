#ifndef SERVICE_RPC_CONNECTIONS_TAKEOVER_H_
#define SERVICE_RPC_CONNECTIONS_TAKEOVER_H_

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/rpc/connections/descriptor.h"
#include "service/rpc/connections/inherited_sockets.h"

namespace rpc {

// Hot restart: replaces the server by another process on the same host, and somebody listens at
// every moment.
//
// The problem: between one process closing a port and the next one opening it, callers are refused.
// SO_REUSEPORT does not help: each process has its own accept queue, and the connections in the old
// one's are reset when it closes. So both processes use the same sockets. The old one sends them to
// the new one (SCM_RIGHTS) through a socket file whose path both know:
//
//   new process                         the one that serves
//   Begin()          connects     -->   sends its listening sockets, goes on serving
//   Publish()        its own socket file replaces the other's
//   Serve()          "serving"    -->   leaves the sockets to the new one, and drains
//
// A new process that ends before it serves changes nothing: the old one continues, and waits for
// the next.
//
// Guarantees: only a process of the same user or of root gets the sockets, and only such a process
// is believed. One successor at a time; another one waits, and turns to the first once that serves.
//
// Threads: all methods on one thread. `Host` is called on Takeover's own thread, which Close() waits
// for.
class Takeover {
 public:
  // The listening sockets of one address. The receiver owns the descriptors.
  struct Shared {
    std::string address;
    std::vector<int> fds;
  };
  struct Host {
    // The sockets that a successor needs; an address without any means that they cannot be had now.
    // May be called several times.
    std::function<std::vector<Shared>()> sockets;
    // The successor serves now. Called at most once. `to`: "process 123".
    std::function<void(const std::string& to)> handed_over;
    // Receives a sentence when a successor ended before it served.
    std::function<void(const std::string& words)> log;
  };

  // Connects to the process that serves under `path`, if there is one, and adds its sockets to
  // `inherited`, each under its address. If that one ends or is replaced meanwhile, asks whoever
  // serves there then.
  //
  // Errors, each with the path and what to do: INVALID_ARGUMENT (the path is too long or is no
  // socket), PERMISSION_DENIED (also: the process is another user's), UNAVAILABLE (the process does
  // not answer or hands nothing over within a few seconds, or no thread can be created).
  static absl::StatusOr<std::unique_ptr<Takeover>> Begin(const std::string& path,
                                                         InheritedSockets& inherited);

  // Closes it. Who asked meanwhile finds nobody, or the successor.
  ~Takeover();
  Takeover(const Takeover&) = delete;
  Takeover& operator=(const Takeover&) = delete;

  // From now on the next process finds this one, and not its predecessor: call it when nothing else can
  // fail any more.
  //
  // Errors: PERMISSION_DENIED and UNAVAILABLE, if the directory has changed since Begin(). The next
  // process finds nobody then, and cannot have the addresses; but sockets that are passed to both
  // (fd:NAME) it has, serves beside this one, and nobody tells this one to drain.
  absl::Status Publish();

  // This process serves: tells the predecessor, which then drains; begins to wait for a successor.
  void Serve(Host host);

  // Sends nothing to any successor any more. Who asks from now on waits until this is destroyed, so
  // destroy it once the addresses are free. Closing twice does nothing.
  void Close();

  // Whether a successor has the sockets, and has not ended as far as is known. Requires: Close() was
  // called.
  bool has_successor() const { return has_successor_; }

 private:
  explicit Takeover(std::string path);
  absl::Status Bind();
  absl::Status Connect(InheritedSockets& inherited);
  // Asks the process that serves, for as long as it may take. Nullopt: in vain, ask again.
  // `in_vain`: who gave nothing; empty if nobody listens any more.
  std::optional<absl::Status> Ask(std::chrono::steady_clock::time_point until,
                                  InheritedSockets& inherited, std::optional<std::string>& in_vain);
  // On the thread.
  void Run();
  void AwaitSuccessors();
  void Admit();
  void Refuse(const std::string& words);
  // True: the successor serves.
  bool HearSuccessor();

  const std::string path_;
  std::string bound_path_;  // Where the socket file is: beside path_ until Publish().
  std::pair<dev_t, ino_t> file_;
  Descriptor listening_;    // Until there is a successor that serves.
  Descriptor wake_;         // An eventfd, readable once Close() is called.
  Descriptor predecessor_;  // From Begin() to Serve().
  Descriptor successor_;    // On the thread; and after it has ended.
  std::string successor_name_;
  std::string refused_;         // On the thread: what was said of the last who got nothing.
  bool has_successor_ = false;  // Set by Close().

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Host> host_;  // Guarded by mutex_.
  bool closed_ = false;       // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_TAKEOVER_H_
