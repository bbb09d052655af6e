#include "service/rpc/testing/callers.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/create_channel.h"

extern "C" void __ubsan_handle_dynamic_type_cache_miss_abort() __attribute__((weak));

namespace rpc {
namespace {

// Far more than anything takes on a busy machine under a sanitizer.
constexpr std::chrono::seconds kLimit(60);

// RFC 7541, 6.2.2: a literal without indexing, with a new name.
std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, 0) + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// gRPC before 1.61 looks at errno only some steps after connect() has set it (grpc/grpc#35064), and
// takes a lock in between. Two things in Abseil change errno there, and the connection under way then
// counts as failed. Both are out of the way before anything connects:
//
//   ENOENT   The first thread of a process that queues behind another for a mutex looks for a file
//            that few machines have (UnscaledCycleClock::Frequency()).
//   EINVAL   The graph in which a debug build looks for deadlocks grows, and Abseil 20240722 names the
//            new memory by a prctl() that few kernels know (low_level_alloc.cc).
bool KeepErrnoOfConnect() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  absl::Mutex mutex;
  bool waits = false;   // Guarded by mutex.
  bool may_go = false;  // Guarded by mutex.
  // MutexLockMaybe: newer Abseil warns of a MutexLock that takes a pointer, the only one in older.
  std::jthread thread([&] {
    const absl::MutexLockMaybe lock(&mutex);
    waits = true;
    mutex.Await(absl::Condition(&may_go));
  });
  const absl::MutexLockMaybe lock(&mutex, absl::Condition(&waits));
  bool never = false;
  mutex.AwaitWithTimeout(absl::Condition(&never), absl::Nanoseconds(1));
  may_go = true;
  return true;
}

}  // namespace

std::shared_ptr<grpc::Channel> NewConnection(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    grpc::ChannelArguments arguments) {
  [[maybe_unused]] static const bool kept = KeepErrnoOfConnect();
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (credentials == nullptr) {
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  arguments.SetSslTargetNameOverride("localhost");
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

bool UndefinedBehaviourIsWatched() {
  return __ubsan_handle_dynamic_type_cache_miss_abort != nullptr;
}

std::unique_ptr<grpc::ClientContext> Bounded() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + kLimit);
  return context;
}

RawStream::RawStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& method)
    : stub_(channel) {
  stub_.PrepareBidiStreamingCall(context_.get(), method, {}, this);
  AddHold();  // Ask() starts operations from outside of the reactions.
  StartCall();
}

RawStream::~RawStream() {
  Cancel();
  AwaitEnd();
}

std::string RawStream::Ask(const std::string& message) {
  const grpc::Slice slice(message);
  sent_ = grpc::ByteBuffer(&slice, 1);
  StartWrite(&sent_);
  std::string answer = Next();
  // The answer may be here before the word that the question was sent, and gRPC takes no
  // further question before that.
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return written_; });
  written_ = false;
  return answer;
}

std::string RawStream::Next() {
  received_.Clear();
  StartRead(&received_);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return read_.has_value(); });
  const bool ok = *std::exchange(read_, std::nullopt);
  grpc::Slice flat;
  return ok && received_.DumpToSingleSlice(&flat).ok()
             ? std::string(reinterpret_cast<const char*>(flat.begin()), flat.size())
             : "";
}

grpc::Status RawStream::AwaitEnd() {
  if (!std::exchange(released_, true)) RemoveHold();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return status_.has_value(); });
  return *status_;
}

void RawStream::OnReadDone(bool ok) {
  std::lock_guard lock(mutex_);
  read_ = ok;
  changed_.notify_all();
}

void RawStream::OnWriteDone(bool) {
  std::lock_guard lock(mutex_);
  written_ = true;
  changed_.notify_all();
}

void RawStream::OnDone(const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  status_ = status;
  changed_.notify_all();
}

RawConnection::RawConnection(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found) != 0) return;
  fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  connected_ = connect(fd_, found->ai_addr, found->ai_addrlen) == 0;
  freeaddrinfo(found);
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) close(fd_);
}

void RawConnection::Send(const std::string& bytes) {
  [[maybe_unused]] const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void RawConnection::EndSending() { shutdown(fd_, SHUT_WR); }

bool RawConnection::Receive(const std::string& text) {
  std::string received(text.size(), '\0');
  return Fill(received) && received == text;
}

bool RawConnection::ReceiveBytes(std::size_t count) {
  std::string received(count, '\0');
  return Fill(received);
}

bool RawConnection::Fill(std::string& received) {
  for (std::size_t had = 0; had < received.size();) {
    if (!Readable()) return false;
    const ssize_t size = recv(fd_, received.data() + had, received.size() - had, 0);
    if (size <= 0) return false;
    had += static_cast<std::size_t>(size);
  }
  return true;
}

bool RawConnection::ReceiveUntil(const std::string& text) {
  std::string received;
  while (received.find(text) == std::string::npos) {
    char byte;
    if (!Readable() || recv(fd_, &byte, 1, 0) <= 0) return false;
    received.push_back(byte);
  }
  return true;
}

bool RawConnection::AwaitEnd() {
  char bytes[4096];
  do {
    if (!Readable()) return false;
  } while (recv(fd_, bytes, sizeof bytes, 0) > 0);
  return true;
}

bool RawConnection::Readable() {
  pollfd one = {fd_, POLLIN, 0};
  return poll(&one, 1, std::chrono::milliseconds(kLimit).count()) == 1;
}

std::string Http2Frame(char type, char flags, std::uint32_t stream, const std::string& payload) {
  std::string frame = {static_cast<char>(payload.size() >> 16),
                       static_cast<char>(payload.size() >> 8), static_cast<char>(payload.size())};
  frame += {type, flags};
  frame += {static_cast<char>(stream >> 24), static_cast<char>(stream >> 16),
            static_cast<char>(stream >> 8), static_cast<char>(stream)};
  return frame + payload;
}

std::string Http2Preface() {
  constexpr char kSettings = 4;
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Http2Frame(kSettings, 0, 0, "");
}

std::string Http2Headers(const std::string& path, std::uint32_t stream,
                         const std::map<std::string, std::string>& more) {
  constexpr char kHeaders = 1;
  constexpr char kEndHeaders = 4;
  std::string block = Header(":method", "POST") + Header(":scheme", "http") +
                      Header(":path", path) + Header(":authority", "probe") +
                      Header("te", "trailers") + Header("content-type", "application/grpc");
  for (const auto& [name, value] : more) block += Header(name, value);
  return Http2Frame(kHeaders, kEndHeaders, stream, block);
}

}  // namespace rpc
