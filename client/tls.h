#ifndef CLIENT_TLS_H_
#define CLIENT_TLS_H_

#include <memory>
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
};

// Credentials with what is in the files now.
//
// INVALID_ARGUMENT: a file cannot be read or contains something else, or there is only one of
// certificate and key. The error names the file.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsFromFiles(const TlsOptions& options);

}  // namespace client

#endif  // CLIENT_TLS_H_
