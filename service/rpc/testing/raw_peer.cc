#include "service/rpc/testing/raw_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "service/rpc/testing/callers.h"

namespace rpc {
namespace {

constexpr std::chrono::seconds kLimit{30};
constexpr std::size_t kFrameHeader = 9;

std::chrono::steady_clock::time_point InTime() { return std::chrono::steady_clock::now() + kLimit; }

std::string Big(std::uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16),
          static_cast<char>(number >> 8), static_cast<char>(number)};
}

std::uint32_t BigAt(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint32_t number = 0;
  for (std::size_t i = at; i < at + size && i < bytes.size(); ++i) {
    number = number << 8 | static_cast<std::uint8_t>(bytes[i]);
  }
  return number;
}

int ConnectToFile(const std::string& path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof to.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    close(fd);
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// A connection that never blocks once it is made; -1 when there is nobody.
int Connect(const std::string& address, int receive_buffer) {
  const std::string unix_prefix = "unix:";
  if (address.compare(0, unix_prefix.size(), unix_prefix) == 0) {
    return ConnectToFile(address.substr(unix_prefix.size()));
  }
  const std::size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
  if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1) return -1;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    close(fd);
    return -1;
  }
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// `connection` with TLS above it.
BIO* WithTls(BIO* connection, int max_tls_version) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL* const ssl = SSL_new(context);
  SSL_CTX_free(context);
  if (max_tls_version != 0) {
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, static_cast<std::uint16_t>(max_tls_version));
    SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0");  // OpenSSL has none for the old ones above.
  }
  const std::uint8_t h2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, h2, sizeof h2);
  SSL_set_connect_state(ssl);
  SSL_set_bio(ssl, connection, connection);
  BIO* const tls = BIO_new(BIO_f_ssl());
  BIO_set_ssl(tls, ssl, BIO_CLOSE);
  return tls;
}

}  // namespace

std::uint32_t RawPeer::Frame::last_stream() const { return BigAt(payload, 0, 4); }
std::uint32_t RawPeer::Frame::error() const { return BigAt(payload, type == kGoaway ? 4 : 0, 4); }

RawPeer::RawPeer(const std::string& address, const Options& options)
    : acknowledge_settings_(options.acknowledge_settings),
      connection_(nullptr, [](BIO* connection) { BIO_free_all(connection); }) {
  const int fd = Connect(address, options.receive_buffer);
  if (fd < 0) return;
  open_ = true;
  signal(SIGPIPE, SIG_IGN);  // OpenSSL's sockets raise it.
  BIO* const tcp = BIO_new_socket(fd, BIO_CLOSE);
  connection_.reset(options.tls ? WithTls(tcp, options.max_tls_version) : tcp);
  SendBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  if (!options.endless_window) {
    Send({kSettings, 0, 0, ""});
    return;
  }
  constexpr char kInitialWindowSize = 4;
  Send({kSettings, 0, 0, std::string{0, kInitialWindowSize} + Big(kMaxStream)});
  Send({kWindowUpdate, 0, 0, Big(kMaxStream - 65535)});
}

RawPeer::~RawPeer() = default;

std::uint32_t RawPeer::Open(const std::string& path,
                            const std::map<std::string, std::string>& more) {
  const std::uint32_t stream = std::exchange(next_stream_, next_stream_ + 2);
  SendBytes(Http2Headers(path, stream, more));
  return stream;
}

void RawPeer::SendMessage(std::uint32_t stream, const std::string& message, bool half_close) {
  constexpr std::size_t kMost = 16384;  // SETTINGS_MAX_FRAME_SIZE, unless it is raised.
  const std::string prefixed = '\0' + Big(static_cast<std::uint32_t>(message.size())) + message;
  for (std::size_t at = 0; at < prefixed.size(); at += kMost) {
    const bool last = at + kMost >= prefixed.size();
    Send({kData, last && half_close ? kEndStream : std::uint8_t{0}, stream,
          prefixed.substr(at, kMost)});
  }
}

std::uint32_t RawPeer::Call(const std::string& path, const std::string& message) {
  const std::uint32_t stream = Open(path);
  SendMessage(stream, message);
  return stream;
}

void RawPeer::Reset(std::uint32_t stream, std::uint32_t error) {
  Send({kReset, 0, stream, Big(error)});
}

void RawPeer::Acknowledge(const Frame& frame) {
  Send({frame.type, kAck, 0, frame.type == kPing ? frame.payload : ""});
}

void RawPeer::Send(const Frame& frame) {
  SendBytes(Http2Frame(static_cast<char>(frame.type), static_cast<char>(frame.flags), frame.stream,
                       frame.payload));
}

void RawPeer::SendBytes(const std::string& bytes) {
  const TimePoint limit = InTime();
  for (std::size_t sent = 0; open_ && sent < bytes.size();) {
    ERR_clear_error();  // Another connection's would be taken for this one's.
    const int wrote =
        BIO_write(connection_.get(), bytes.data() + sent, static_cast<int>(bytes.size() - sent));
    if (wrote > 0) {
      sent += static_cast<std::size_t>(wrote);
    } else if (!Ready(limit)) {
      return;
    }
  }
}

std::optional<RawPeer::Frame> RawPeer::Next() { return Next(InTime()); }

std::optional<RawPeer::Frame> RawPeer::Await(Type type) {
  return AwaitFrame([type](const Frame& frame) { return frame.type == type; });
}

std::optional<RawPeer::Frame> RawPeer::AwaitOn(std::uint32_t stream, Type type) {
  return AwaitFrame(
      [=](const Frame& frame) { return frame.stream == stream && frame.type == type; });
}

bool RawPeer::AwaitAnswer(std::uint32_t stream) {
  const std::optional<Frame> last = AwaitFrame([stream](const Frame& frame) {
    return frame.stream == stream &&
           (frame.type == kReset || (frame.type == kHeaders && (frame.flags & kEndStream) != 0));
  });
  return last.has_value() && last->type == kHeaders;
}

bool RawPeer::ReadWholeWindow(std::uint32_t stream) {
  for (std::size_t left = 65535; left > 0;) {
    const std::optional<Frame> data = AwaitOn(stream, kData);
    if (!data) return false;
    left -= std::min(left, data->payload.size());
  }
  return true;
}

bool RawPeer::AwaitEnd() {
  AwaitFrame([](const Frame&) { return false; });
  return !open_;
}

std::optional<RawPeer::Frame> RawPeer::AwaitFrame(const std::function<bool(const Frame&)>& wanted) {
  const TimePoint limit = InTime();
  for (;;) {
    std::optional<Frame> frame = Next(limit);
    if (!frame || wanted(*frame)) return frame;
  }
}

std::optional<RawPeer::Frame> RawPeer::Next(TimePoint limit) {
  const std::optional<std::string> header = ReadBytes(kFrameHeader, limit);
  if (!header) return std::nullopt;
  const std::size_t size = BigAt(*header, 0, 3);
  std::optional<std::string> whole = ReadBytes(kFrameHeader + size, limit);
  if (!whole) return std::nullopt;
  received_.erase(0, whole->size());
  Frame frame = {static_cast<std::uint8_t>((*whole)[3]), static_cast<std::uint8_t>((*whole)[4]),
                 BigAt(*whole, 5, 4) & kMaxStream, whole->substr(kFrameHeader)};
  const bool question = (frame.flags & kAck) == 0;
  if (question && frame.type == kSettings && acknowledge_settings_) Acknowledge(frame);
  if (question && frame.type == kPing && acknowledge_pings_) Acknowledge(frame);
  return frame;
}

std::optional<std::string> RawPeer::ReadBytes(std::size_t count, TimePoint limit) {
  char bytes[16384];
  while (open_ && received_.size() < count) {
    ERR_clear_error();
    const int got = BIO_read(connection_.get(), bytes, sizeof bytes);
    if (got > 0) {
      received_.append(bytes, static_cast<std::size_t>(got));
    } else if (!Ready(limit)) {
      return std::nullopt;
    }
  }
  if (received_.size() < count) return std::nullopt;
  return received_.substr(0, count);
}

// Whether the operation that just failed should be tried again.
bool RawPeer::Ready(TimePoint limit) {
  if (!BIO_should_retry(connection_.get())) {
    open_ = false;
    return false;
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      limit - std::chrono::steady_clock::now());
  pollfd one = {static_cast<int>(BIO_get_fd(connection_.get(), nullptr)),
                static_cast<short>(BIO_should_write(connection_.get()) ? POLLOUT : POLLIN), 0};
  return poll(&one, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) == 1;
}

}  // namespace rpc
