#ifndef SERVICE_RPC_TLS_H_
#define SERVICE_RPC_TLS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"

namespace rpc {

// TLS for a server, from two PEM files: its certificate, with the intermediate ones behind it,
// and its private key. They are read now: a renewed certificate takes a restart, which no
// caller notices.
//
// Errors: INVALID_ARGUMENT with the name of a file that cannot be read or holds none, or when
// they do not belong together: gRPC would find it at the first caller, and serve nobody.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsFromFiles(
    const std::string& certificate_file, const std::string& key_file);

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_H_
