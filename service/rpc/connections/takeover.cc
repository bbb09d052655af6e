#include "service/rpc/connections/takeover.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace rpc {
namespace {

using Time = std::chrono::steady_clock::time_point;

// How long a predecessor may take to send what it has at hand.
constexpr std::chrono::seconds kForAnswer(5);
// How long nobody is asked or admitted who could not be just now.
constexpr int kPauseMilliseconds = 10;
// The kernel's own limit (SCM_MAX_FD).
constexpr std::size_t kMostSockets = 253;
constexpr std::size_t kMostBytes = 65536;
// Of the message that names the sockets: it changes when an older process would not understand it.
constexpr char kVersion[] = "1";
constexpr std::string_view kServing = "serving";

absl::Status Error(const std::string& path, const std::string& what) {
  return absl::UnavailableError(absl::StrCat("cannot take over at ", path, ": ", what));
}

absl::Status ErrorOf(const std::string& path, int error) {
  const std::string what = absl::StrCat("cannot take over at ", path, ": ", std::strerror(error));
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(what);
  return absl::UnavailableError(what);
}

absl::Status HandsNothingOver(const std::string& path, const std::string& who) {
  return Error(path,
               absl::StrCat(who,
                            " serves there and hands nothing over, its log may say why; if it "
                            "hangs, end it, or if it is about to be replaced by another "
                            "process, try again"));
}

sockaddr_un NameOf(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path - 1));
  return name;
}

int NewSocket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

struct Peer {
  std::string name;  // "process 123"
  bool trusted = false;
};

Peer PeerOf(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {"a process"};
  return {absl::StrCat("process ", credentials.pid),
          credentials.uid == geteuid() || credentials.uid == 0};
}

bool Send(int fd, std::string_view text, const std::vector<int>& passed) {
  iovec data{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  std::vector<char> control(CMSG_SPACE(sizeof(int) * passed.size()));
  if (!passed.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * passed.size());
    std::memcpy(CMSG_DATA(header), passed.data(), sizeof(int) * passed.size());
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

struct Received {
  std::string text;  // Empty: the peer has closed the connection, or has nothing to say.
  std::vector<int> passed;
};

Received Receive(int fd) {
  Received received;
  received.text.resize(kMostBytes);
  iovec data{received.text.data(), received.text.size()};
  std::vector<char> control(CMSG_SPACE(sizeof(int) * kMostSockets));
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  received.text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size < 0) return received;
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    received.passed.resize((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(received.passed.data(), CMSG_DATA(each), received.passed.size() * sizeof(int));
  }
  return received;
}

// Whether something has come by then; signals, for one that asks for every thread's stack, do not
// end the wait.
bool Readable(int fd, Time until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(until - std::chrono::steady_clock::now(), Time::duration::zero()));
    pollfd readable{fd, POLLIN, 0};
    const int ready = poll(&readable, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Takeover::Takeover(std::string path) : path_(std::move(path)) {}

absl::StatusOr<std::unique_ptr<Takeover>> Takeover::Begin(const std::string& path,
                                                          InheritedSockets& inherited) {
  std::unique_ptr<Takeover> takeover(new Takeover(path));
  if (absl::Status bound = takeover->Bind(); !bound.ok()) return bound;
  if (absl::Status connected = takeover->Connect(inherited); !connected.ok()) return connected;
  try {
    takeover->thread_ = std::thread([&self = *takeover] { self.Run(); });
  } catch (const std::system_error& error) {
    return Error(path, absl::StrCat("no thread: ", error.what()));
  }
  return takeover;
}

Takeover::~Takeover() {
  Close();
  // A successor is about to put its own there.
  if (!has_successor_ && FileAt(bound_path_) == file_) unlink(bound_path_.c_str());
}

absl::Status Takeover::Bind() {
  const std::string beside = absl::StrCat(path_, ".", getpid());
  if (beside.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot take over at ", path_, ": the path is too long for a socket"));
  }
  struct stat there {};
  if (lstat(path_.c_str(), &there) == 0 && !S_ISSOCK(there.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot take over at ", path_,
                     ": something else than a socket is there; name another path"));
  }
  wake_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  listening_ = Descriptor(NewSocket());
  if (!wake_.open() || !listening_.open()) return ErrorOf(path_, errno);
  unlink(beside.c_str());  // Of an earlier process with this number.
  const sockaddr_un name = NameOf(beside);
  if (bind(listening_.fd(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return ErrorOf(path_, errno);
  }
  bound_path_ = beside;
  file_ = FileAt(beside);
  constexpr int kBacklog = 16;
  if (chmod(beside.c_str(), S_IRUSR | S_IWUSR) != 0 || listen(listening_.fd(), kBacklog) != 0) {
    return ErrorOf(path_, errno);
  }
  return absl::OkStatus();
}

absl::Status Takeover::Connect(InheritedSockets& inherited) {
  const Time until = std::chrono::steady_clock::now() + kForAnswer;
  std::optional<std::string> in_vain;
  for (;;) {
    if (std::optional<absl::Status> answer = Ask(until, inherited, in_vain)) {
      return *std::move(answer);
    }
    // It closes its sockets, or has left them to another that serves there now or soon.
    if (std::chrono::steady_clock::now() >= until) break;
    poll(nullptr, 0, kPauseMilliseconds);
  }
  return in_vain->empty() ? absl::OkStatus() : HandsNothingOver(path_, *in_vain);
}

std::optional<absl::Status> Takeover::Ask(Time until, InheritedSockets& inherited,
                                          std::optional<std::string>& in_vain) {
  predecessor_ = Descriptor(NewSocket());
  if (!predecessor_.open()) return ErrorOf(path_, errno);
  const sockaddr_un name = NameOf(path_);
  if (connect(predecessor_.fd(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    const int error = errno;
    predecessor_ = Descriptor();
    if (error == ECONNREFUSED && in_vain) {  // Its successor is about to replace its file.
      in_vain = "";
      return std::nullopt;
    }
    if (error == ENOENT || error == ECONNREFUSED) return absl::OkStatus();  // Nobody serves there.
    return ErrorOf(path_, error);
  }
  const Peer peer = PeerOf(predecessor_.fd());
  if (!peer.trusted) {
    return absl::PermissionDeniedError(absl::StrCat("cannot take over at ", path_, ": ", peer.name,
                                                    " serves there and is another user's"));
  }
  if (!Readable(predecessor_.fd(), until)) return HandsNothingOver(path_, peer.name);
  const Received received = Receive(predecessor_.fd());
  if (received.text.empty()) {
    for (const int fd : received.passed) close(fd);  // Of a message without a word.
    predecessor_ = Descriptor();
    in_vain = peer.name;
    return std::nullopt;
  }
  const std::vector<std::string> words = absl::StrSplit(received.text, '\n');
  const bool understood = words.front() == kVersion && words.size() == received.passed.size() + 1;
  for (std::size_t i = 0; i < received.passed.size(); ++i) {
    inherited.Add(received.passed[i], {understood ? words[i + 1] : ""});
  }
  if (understood) return absl::OkStatus();
  return Error(path_, absl::StrCat(peer.name, " serves there and speaks another version"));
}

absl::Status Takeover::Publish() {
  if (std::rename(bound_path_.c_str(), path_.c_str()) != 0) return ErrorOf(path_, errno);
  bound_path_ = path_;
  return absl::OkStatus();
}

void Takeover::Serve(Host host) {
  // If it has gone meanwhile, there is nobody to tell.
  if (predecessor_.open()) Send(predecessor_.fd(), kServing, {});
  predecessor_ = Descriptor();
  std::lock_guard lock(mutex_);
  host_ = std::move(host);
  changed_.notify_all();
}

void Takeover::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  const std::uint64_t one = 1;
  if (wake_.open()) [[maybe_unused]]
    const ssize_t written = write(wake_.fd(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (successor_.open()) has_successor_ = true;
  successor_ = Descriptor();
}

void Takeover::Run() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || host_; });
    if (!host_) return;
  }
  AwaitSuccessors();
}

void Takeover::AwaitSuccessors() {
  for (;;) {
    // One at a time: others wait in the socket's queue.
    const int awaited = successor_.open() ? successor_.fd() : listening_.fd();
    pollfd fds[] = {{wake_.fd(), POLLIN, 0}, {awaited, POLLIN, 0}};
    constexpr int kNoTimeout = -1;
    poll(fds, std::size(fds), kNoTimeout);
    if (fds[0].revents != 0) return;
    if (fds[1].revents == 0) continue;
    if (!successor_.open()) {
      Admit();
    } else if (HearSuccessor()) {
      listening_ = Descriptor();  // Others who wait turn to it.
      return;
    }
  }
}

void Takeover::Admit() {
  Descriptor guest(accept4(listening_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!guest.open()) {  // For want of a descriptor: the guest stays where it is.
    pollfd wake{wake_.fd(), POLLIN, 0};
    poll(&wake, 1, kPauseMilliseconds);
    return;
  }
  const Peer peer = PeerOf(guest.fd());
  if (!peer.trusted) {
    return Refuse(
        absl::StrCat(peer.name, " of another user asked for our listening sockets in vain"));
  }
  std::vector<std::string> words = {kVersion};
  std::vector<int> passed;
  bool all = true;
  for (const Shared& each : host_->sockets()) {
    all = all && !each.fds.empty();
    for (const int fd : each.fds) {
      words.push_back(each.address);
      passed.push_back(fd);
    }
  }
  const bool sent =
      all && passed.size() <= kMostSockets && Send(guest.fd(), absl::StrJoin(words, "\n"), passed);
  for (const int fd : passed) close(fd);
  if (!sent) return Refuse(absl::StrCat(peer.name, " could not be given our listening sockets"));
  refused_.clear();
  successor_ = std::move(guest);
  successor_name_ = peer.name;
}

// Whoever gets nothing asks again and again.
void Takeover::Refuse(const std::string& words) {
  if (std::exchange(refused_, words) != words) host_->log(words);
}

bool Takeover::HearSuccessor() {
  const Received received = Receive(successor_.fd());
  for (const int fd : received.passed) close(fd);
  if (received.text == kServing) {
    host_->handed_over(successor_name_);
    return true;
  }
  successor_ = Descriptor();
  host_->log(absl::StrCat(successor_name_,
                          " was about to take over and ended before it served: this one goes on"));
  return false;
}

}  // namespace rpc
