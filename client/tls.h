#ifndef CLIENT_TLS_H_
#define CLIENT_TLS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/credentials.h"

namespace client {

// PEM files for TLS; each may be empty.
struct TlsOptions {
  // Who signs the servers' certificates; empty: those whom this machine trusts.
  std::string ca = {};
  // Mutual TLS: the client's certificate, followed by the intermediate ones, and its key.
  std::string certificate = {};
  std::string key = {};
  // Called once for each fault of renewed files that two looks in a row have found, on the thread
  // that looks.
  std::function<void(const std::string& fault)> on_fault = nullptr;
};

// Credentials from the files, read again when they change.
//
// The problem: certificates are valid for days or hours, and are renewed by a tool that replaces one
// file after the other. gRPC uses whatever it reads: with a certificate that does not match its key,
// every new connection fails.
//
// Guarantees: the credentials are of a set of files that was complete, with a certificate that
// matched its key, when it was read. Other files change nothing: the last good set stays in use.
//
// Threads: all methods may be called from any thread; they read the files, and may block as long as
// the disk does. `on_fault` must not call Latest().
class TlsFiles {
 public:
  // How often the files are looked at, at most.
  static constexpr std::chrono::milliseconds kInterval{1000};

  // INVALID_ARGUMENT: a file cannot be read or contains something else, there is only one of
  // certificate and key, or they do not match. The error names the file.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Open(
      TlsOptions options, std::chrono::milliseconds interval = kInterval);

  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // The same ones until the files are renewed.
  std::shared_ptr<grpc::ChannelCredentials> Latest();

 private:
  struct Contents {
    std::string ca = {};
    std::string certificate = {};
    std::string key = {};

    bool operator==(const Contents&) const = default;
  };

  TlsFiles(TlsOptions options, std::chrono::milliseconds interval, Contents contents);

  static absl::StatusOr<Contents> ReadValid(const TlsOptions& options);
  static std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const Contents& contents);

  void Report(const std::string& fault);

  const TlsOptions options_;
  const std::chrono::milliseconds interval_;

  std::mutex mutex_;  // Guards what follows.
  Contents contents_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::chrono::steady_clock::time_point looked_;
  std::string seen_fault_;  // By the last look; empty: none.
  std::string reported_fault_;
};

}  // namespace client

#endif  // CLIENT_TLS_H_
