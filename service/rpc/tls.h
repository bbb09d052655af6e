#ifndef SERVICE_RPC_TLS_H_
#define SERVICE_RPC_TLS_H_

#include <memory>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "service/rpc/tls_files.h"

namespace rpc {

// Whether a server that has TlsFiles::Paths::ca requires a certificate of its callers. A certificate
// that cannot be verified is always refused.
enum class CallerCertificate { kRequired, kOptional };

// A server's credentials for TLS 1.2 or later. A new connection gets the latest files; open ones
// keep theirs. With a CA, callers' certificates must be signed by it.
//
// The problem: gRPC's own reloading (FileWatcherCertificateProvider) uses whatever is in the files.
// Its other way, a function that is asked before each handshake and may answer "unchanged", exists
// in the C API only.
//
// Requires: `files` has a certificate. Lifetime: the credentials outlive the servers that use
// them.
std::shared_ptr<grpc::ServerCredentials> ServerTls(std::shared_ptr<const TlsFiles> files,
                                                   CallerCertificate caller);

// A client's credentials, from the files as they are now: the CA that signs servers' certificates
// (default: the machine's trust store), and the client's own certificate, if it has one.
std::shared_ptr<grpc::ChannelCredentials> ChannelTls(const TlsFiles::Contents& contents);

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_H_
