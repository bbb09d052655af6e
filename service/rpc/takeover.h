#ifndef SERVICE_RPC_TAKEOVER_H_
#define SERVICE_RPC_TAKEOVER_H_

#include <sys/types.h>

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
#include "service/rpc/inherited_sockets.h"

namespace rpc {

// Replaces a server by another process on the same host, without a moment at which nobody listens:
// a hot restart.
//
// The problem: a port that one process closes before the next one has opened it refuses callers in
// between. SO_REUSEPORT does not help: each process has a queue of its own, and the callers in that
// of the leaving process are reset when it closes. So both use the same sockets, which the old
// process sends to the new one (SCM_RIGHTS) through a socket file that both know:
//
//   new process                         the one that serves
//   Begin()          connects     -->   sends its listening sockets, goes on serving
//   Publish()        its own socket file replaces the other's
//   Serve()          "serving"    -->   leaves the sockets to the new one, and drains
//
// A new process that ends before it serves has changed nothing: the old one goes on, and waits for
// the next.
//
// Guarantees: only a process of the same user, or of root, is given the sockets or believed. One
// successor at a time; another one waits.
//
// Threads: `host` is called on a thread of its own; Close() waits for it. The rest on one thread.
class Takeover {
 public:
  // The listening sockets of one address, whose descriptors belong to whoever has this.
  struct Shared {
    std::string address;
    std::vector<int> fds;
  };
  struct Host {
    // Those that a successor needs. May be called several times.
    std::function<std::vector<Shared>()> sockets;
    // The successor serves. Called at most once. `to`: "process 123".
    std::function<void(const std::string& to)> handed_over;
    // A successor ended before it served. A sentence for people.
    std::function<void(const std::string& words)> log;
  };

  // Connects to the process that serves under `path`, if there is one, and adds its sockets to
  // `inherited`, each under its address.
  //
  // Errors, each with the path and what to do: INVALID_ARGUMENT (too long, or something else than a
  // socket is there), PERMISSION_DENIED (also another user's process), UNAVAILABLE (that process
  // does not answer within a few seconds; no thread).
  static absl::StatusOr<std::unique_ptr<Takeover>> Begin(const std::string& path,
                                                         InheritedSockets& inherited);

  // Closes it.
  ~Takeover();
  Takeover(const Takeover&) = delete;
  Takeover& operator=(const Takeover&) = delete;

  // From now on the next process finds this one. Call it as soon as nothing else can fail.
  absl::Status Publish();

  // This process serves: tells the predecessor, which begins to drain, and waits for a successor.
  // Requires: Publish() was OK.
  void Serve(Host host);

  // No successor is given anything any more. Closing twice does nothing.
  void Close();

 private:
  // Closed with the object.
  class Descriptor {
   public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(fd_, other.fd_);
      return *this;
    }
    int fd() const { return fd_; }
    bool open() const { return fd_ >= 0; }

   private:
    int fd_;
  };

  explicit Takeover(std::string path);
  absl::Status Bind();
  absl::Status Connect(InheritedSockets& inherited);
  // On the thread.
  void Run();
  void AwaitSuccessors();
  void Admit();
  // True: it serves.
  bool HearSuccessor();

  const std::string path_;
  std::string bound_path_;  // Where the socket file is: beside path_ until Publish().
  std::pair<dev_t, ino_t> file_;
  Descriptor listening_;
  Descriptor wake_;         // An eventfd, readable once Close() is called.
  Descriptor predecessor_;  // From Begin() to Serve().
  Descriptor successor_;    // On the thread; and after it has ended.
  std::string successor_name_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Host> host_;  // Guarded by mutex_.
  bool closed_ = false;       // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TAKEOVER_H_
