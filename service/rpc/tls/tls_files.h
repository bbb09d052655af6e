#ifndef SERVICE_RPC_TLS_TLS_FILES_H_
#define SERVICE_RPC_TLS_TLS_FILES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/files/file_watch.h"

namespace rpc {

// The PEM files for TLS, reloaded when they change.
//
// The problem: certificates are valid for days or hours, and are renewed by a tool that replaces one
// file after the other. gRPC uses whatever it reads: with a certificate that does not match its key,
// or has expired, every new connection fails.
//
// Guarantees: Latest() is always a set that was complete and valid when it was read, and that a
// handshake in memory succeeded with. When two reads in a row find the same new set, it is used; when
// they find the same fault, it is logged once, and the previous set stays in use. A line is logged
// when a new set is used and, once a day from renew_by() on, when the certificate expires. A file
// system that hangs delays only the renewal.
//
// Requires: Open() is called before anything else uses OpenSSL. It prevents a crash of gRPC's
// threads that are in a handshake when the process exits.
//
// Threads: all methods may be called from any thread; only Open() blocks, to read the files.
class TlsFiles {
 public:
  // Whose certificate it is. kClient: one that a backend is shown.
  enum class Owner { kServer, kClient };

  // Empty: none. A certificate needs its key and the key its certificate.
  struct Paths {
    std::string certificate = {};  // Followed by intermediate certificates.
    std::string key = {};
    std::string ca = {};  // The authorities that sign peers' certificates.
    Owner owner = Owner::kServer;
  };

  struct Contents {
    std::string certificate = {};
    std::string key = {};
    std::string ca = {};

    bool operator==(const Contents&) const = default;
  };

  using Write = std::function<void(const std::string& line)>;

  // INVALID_ARGUMENT, naming the file and what to do: a file cannot be read, is not a regular file,
  // is larger than a megabyte, has the wrong content, is cut off, or is read differently by gRPC (a NUL
  // byte, a trusted certificate); a certificate has expired, is
  // not valid yet, does not match its key, is not for its owner's side of a connection, has a name
  // that cannot be read, or is too weak for TLS, as may be one after it.
  //
  // `interval`: how often the files are read.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Open(
      Paths paths, Write write = nullptr,
      std::chrono::milliseconds interval = files::FileWatch<Contents>::kInterval);

  ~TlsFiles();
  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // Receives log lines from now on; null: stderr. `write` must not block. It is not called any more
  // once another LogTo() or the destructor has returned.
  void LogTo(Write write);

  std::shared_ptr<const Contents> Latest() const;

  // Changes when Latest() does.
  std::int64_t generation() const;

  // When the certificate expires, as Unix time in seconds; 0 without one.
  std::int64_t expires() const;

  // The same for when it should have been renewed: a week before, or a fifth of its life, if that is
  // less.
  std::int64_t renew_by() const;

 private:
  struct State;

  TlsFiles(std::shared_ptr<State> state, std::chrono::milliseconds interval);

  const std::shared_ptr<State> state_;  // Shared with the watch, which may hang in a read.
  const files::FileWatch<Contents> watch_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_TLS_FILES_H_
