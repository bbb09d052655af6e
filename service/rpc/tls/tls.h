#ifndef SERVICE_RPC_TLS_TLS_H_
#define SERVICE_RPC_TLS_TLS_H_

#include <chrono>
#include <memory>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/version_info.h"
#include "service/rpc/tls/tls_files.h"

namespace rpc {

// Whether a server that has TlsFiles::Paths::ca requires a certificate of its callers. A certificate
// that cannot be verified is always refused.
enum class CallerCertificate { kRequired, kOptional };

// Whether callers' sessions end. New gRPC makes handshakes on several threads, which look for the
// SSL_CTX in use without a lock (grpc_ssl_server_security_connector::add_handshakers()), so that each
// replacement may crash one. With 1.51, only the listener's thread does.
inline constexpr bool kSessionsEnd = GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 54;

// For how long, at most, a caller may come back by the TLS session of an earlier connection: nobody
// looks at its certificate again then, and it may have expired. Without an end, sessions last until
// the files change. New keys for them cost a millisecond, and 30 KB while a connection of that minute
// lasts.
inline constexpr std::chrono::milliseconds kSessionLife = std::chrono::minutes(1);

// A server's credentials for TLS 1.2 or later. A new connection gets the latest files; open ones
// keep theirs. With a CA, callers' certificates must be signed by it.
//
// The problem: gRPC's own reloading (FileWatcherCertificateProvider) uses whatever is in the files.
// Its other way, a function that is asked before each handshake and may answer "unchanged", exists
// in the C API only.
//
// Requires: `files` has a certificate. Lifetime: the credentials outlive the servers that use
// them.
std::shared_ptr<grpc::ServerCredentials> ServerTls(
    std::shared_ptr<const TlsFiles> files, CallerCertificate caller,
    std::chrono::milliseconds session_life = kSessionLife);

// A client's credentials, from the files as they are now: the CA that signs servers' certificates
// (default: the machine's trust store), and the client's own certificate, if it has one.
std::shared_ptr<grpc::ChannelCredentials> ChannelTls(const TlsFiles::Contents& contents);

}  // namespace rpc

#endif  // SERVICE_RPC_TLS_TLS_H_
