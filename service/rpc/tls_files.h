#ifndef SERVICE_RPC_TLS_FILES_H_
#define SERVICE_RPC_TLS_FILES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace rpc {

// The PEM files that TLS needs, read again when they change.
//
// The problem: certificates live for days or hours and are renewed by a tool that replaces one file
// after the other. gRPC takes whatever it gets: a certificate that does not belong to its key, or
// one that has expired, and every new connection fails.
//
// Guarantees: Latest() is always a set that was complete and valid when it was read. Files that
// have become wrong are one line in the log, after the second look at them; until they are right
// again the previous ones are used. A line says when new ones are used, and, once a day in its last
// week, when the certificate expires. A file system that hangs delays nothing but the renewal.
//
// Requires: Open() comes before anything else uses OpenSSL. gRPC's threads, which may be in a
// handshake when the process exits, do not crash then.
//
// Threads: all methods may be called from any thread; Open() reads the files, the rest does not
// block.
class TlsFiles {
 public:
  // Each may be empty: none. A certificate and its key come together.
  struct Paths {
    std::string certificate = {};  // Followed by the intermediate ones.
    std::string key = {};
    std::string ca = {};  // Who signs the peer's certificate.
  };

  struct Contents {
    std::string certificate = {};
    std::string key = {};
    std::string ca = {};

    bool operator==(const Contents&) const = default;
  };

  using Write = std::function<void(const std::string& line)>;

  // How often the files are looked at.
  static constexpr std::chrono::milliseconds kInterval{1000};

  // INVALID_ARGUMENT, naming the file and what to do: one that cannot be read, is not a regular
  // file, is larger than a megabyte, or does not contain what it should; a certificate that has
  // expired, is not valid yet, belongs to another key, or is too weak for TLS.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Open(
      Paths paths, Write write = nullptr, std::chrono::milliseconds interval = kInterval);

  ~TlsFiles();
  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // Where lines go from now on; null: stderr. `write` must not block, and
  // is not called again once another call or the destructor has returned.
  void LogTo(Write write);

  std::shared_ptr<const Contents> Latest() const;

  // Changes when Latest() does.
  std::int64_t generation() const;

  // When the certificate expires, as Unix time in seconds; 0 without one.
  std::int64_t expires() const;

 private:
  struct State;

  explicit TlsFiles(std::shared_ptr<State> state);

  const std::shared_ptr<State> state_;  // Shared with the thread, which may hang in a read.
};

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_FILES_H_
