#ifndef SERVICE_RPC_TLS_H_
#define SERVICE_RPC_TLS_H_

#include <memory>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "service/rpc/tls_files.h"

namespace rpc {

// What a caller must show to a server that has TlsFiles::Paths::ca. One whose certificate cannot be
// verified is always refused.
enum class CallerCertificate { kRequired, kOptional };

// TLS credentials, 1.2 at least, of a server: each new connection gets the latest files, and those
// that are open keep what they have. With a CA, callers show certificates that it has signed.
//
// The problem: gRPC's own reloading (FileWatcherCertificateProvider) uses whatever is in the files.
// What it has for servers besides, a function that is asked before each handshake and may say
// "unchanged", is in the C API only.
//
// Requires: `files` has a certificate. The credentials outlive the servers that use them.
std::shared_ptr<grpc::ServerCredentials> ServerTls(std::shared_ptr<const TlsFiles> files,
                                                   CallerCertificate caller);

// The same for a client, as the files are now: who signs servers (without a CA: those whom this
// machine trusts), and the certificate to show, if there is one.
std::shared_ptr<grpc::ChannelCredentials> ChannelTls(const TlsFiles::Contents& contents);

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_H_
