#ifndef SERVICE_RPC_TESTING_RAW_PEER_H_
#define SERVICE_RPC_TESTING_RAW_PEER_H_

#include <openssl/bio.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace rpc {

// An HTTP/2 client that does exactly what a test tells it to, and sees every frame.
//
// The problem: gRPC's own client hides what a server does to a connection (GOAWAY, PING,
// the order of frames), and refuses to misbehave.
//
// The preface, SETTINGS and, unless it is switched off, a window that never fills are sent by the
// constructor.
// SETTINGS and PING are acknowledged while frames are read, unless that is switched off.
// Received header blocks are not decoded.
//
// Every wait ends after 10 s. The process ignores SIGPIPE from the first connection on.
//
// Threads: one.
class RawPeer {
 public:
  // Frame types, flags and error codes of RFC 9113, sections 6 and 7.
  enum Type : std::uint8_t {
    kData = 0,
    kHeaders = 1,
    kReset = 3,
    kSettings = 4,
    kPing = 6,
    kGoaway = 7,
    kWindowUpdate = 8,
    kContinuation = 9,
  };
  static constexpr std::uint8_t kAck = 1;
  static constexpr std::uint8_t kEndStream = 1;
  static constexpr std::uint8_t kEndHeaders = 4;
  static constexpr std::uint32_t kCancel = 8;
  static constexpr std::uint32_t kEnhanceYourCalm = 11;
  // No stream: what a GOAWAY names when any stream may still be served.
  static constexpr std::uint32_t kMaxStream = 0x7fffffff;

  struct Frame {
    std::uint8_t type = kData;
    std::uint8_t flags = 0;
    std::uint32_t stream = 0;
    std::string payload = {};

    // Of a GOAWAY: the last stream that the server serves.
    std::uint32_t last_stream() const;
    // Of a GOAWAY or RST_STREAM.
    std::uint32_t error() const;
  };

  struct Options {
    // TLS without a look at the server's certificate.
    bool tls = false;
    // TLS1_2_VERSION: no newer one. 0: the newest that both have.
    int max_tls_version = 0;
    bool acknowledge_settings = true;
    // False: the 64 KB of RFC 9113, section 6.9.2, and never more.
    bool endless_window = true;
    // SO_RCVBUF in bytes; 0: the system's.
    int receive_buffer = 0;
  };

  // `address`: "127.0.0.1:PORT" or "unix:PATH". The TLS handshake is done when the constructor returns.
  explicit RawPeer(const std::string& address) : RawPeer(address, Options()) {}
  RawPeer(const std::string& address, const Options& options);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  // False: there was nobody, or the connection has ended.
  bool open() const { return open_; }

  // Opens a stream with the headers of a gRPC call of `path` ("/probe.Probe/Echo"), whose
  // message it owes, and `more` of them, and returns its number: 1, 3, 5, ...
  std::uint32_t Open(const std::string& path, const std::map<std::string, std::string>& more = {});

  // Sends a message, and with it the end of the stream unless `half_close` is false. Takes
  // no notice of the server's flow control: 64 KB at most are allowed without.
  void SendMessage(std::uint32_t stream, const std::string& message, bool half_close = true);

  // Opens a stream and sends its only message.
  std::uint32_t Call(const std::string& path, const std::string& message);

  void Reset(std::uint32_t stream, std::uint32_t error = kCancel);
  void Ping(const std::string& eight_bytes) { Send({kPing, 0, 0, eight_bytes}); }
  void Acknowledge(const Frame& frame);
  // Anything else, and what no client should send.
  void Send(const Frame& frame);
  void SendBytes(const std::string& bytes);

  // From now on a PING is acknowledged by Acknowledge() alone.
  void HoldPings() { acknowledge_pings_ = false; }

  // The next frame. Unset: the connection has ended (open() says so), or it took too long.
  std::optional<Frame> Next();

  // Reads until a frame of that type, and stream, has come, and drops the others. Unset: as
  // for Next().
  std::optional<Frame> Await(Type type);
  std::optional<Frame> AwaitOn(std::uint32_t stream, Type type);

  // Reads to the end of the stream. True: it ended with trailers, and not with a RST_STREAM.
  bool AwaitAnswer(std::uint32_t stream);

  // Reads all that the server may send of the stream without a WINDOW_UPDATE: if that is not all there
  // is, it is in the middle of a message then. False: as for Next(). Requires: `endless_window` is
  // false, and nothing was read before.
  bool ReadWholeWindow(std::uint32_t stream);

  // Reads to the end of the connection. False: it took too long.
  bool AwaitEnd();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  std::optional<Frame> AwaitFrame(const std::function<bool(const Frame&)>& wanted);
  std::optional<Frame> Next(TimePoint limit);
  std::optional<std::string> ReadBytes(std::size_t count, TimePoint limit);
  bool Ready(TimePoint limit);

  const bool acknowledge_settings_;
  bool acknowledge_pings_ = true;
  bool open_ = false;
  std::uint32_t next_stream_ = 1;
  std::string received_;  // And not yet a whole frame.
  std::unique_ptr<BIO, void (*)(BIO*)> connection_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_RAW_PEER_H_
