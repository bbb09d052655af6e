#ifndef SERVICE_RPC_TLS_H_
#define SERVICE_RPC_TLS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"

namespace rpc {

// TLS credentials for a server, from two PEM files: its certificate, followed by the intermediate
// ones, and its private key. They are read now: a renewed certificate takes a restart, which no
// caller notices.
//
// Errors: INVALID_ARGUMENT naming a file that cannot be read or contains none, or when they do not
// belong together: gRPC would notice only at the first caller, and serve nobody.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsFromFiles(
    const std::string& certificate_file, const std::string& key_file);

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_H_
