#include "service/rpc/tls/tls.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "grpc/grpc.h"
#include "grpc/grpc_security.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/version_info.h"

namespace rpc {
namespace {

// Of one port: which of the files gRPC has for it.
struct Port {
  Port(std::shared_ptr<const TlsFiles> those, CallerCertificate caller,
       std::chrono::milliseconds session)
      : files(std::move(those)), caller_certificate(caller), session_life(session) {}

  const std::shared_ptr<const TlsFiles> files;
  const CallerCertificate caller_certificate;
  const std::chrono::milliseconds session_life;
  // gRPC asks under its own lock.
  std::int64_t generation = 0;
  std::chrono::steady_clock::time_point fetched;
};

// gRPC asks before each handshake, and keeps what it has when it is told that nothing is new, or
// cannot use what it is given. Of what is new it makes an SSL_CTX, with keys of its own for sessions.
grpc_ssl_certificate_config_reload_status Fetch(void* data,
                                                grpc_ssl_server_certificate_config** config) {
  Port& port = *static_cast<Port*>(data);
  const std::int64_t generation = port.files->generation();
  const auto contents = port.files->Latest();
  const auto now = std::chrono::steady_clock::now();
  // Without a CA no caller has been verified.
  const bool new_keys =
      kSessionsEnd && !contents->ca.empty() && now - port.fetched >= port.session_life;
  if (generation == port.generation && !new_keys) {
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  }
  port.generation = generation;
  port.fetched = now;
  const grpc_ssl_pem_key_cert_pair pair = {contents->key.c_str(), contents->certificate.c_str()};
  // gRPC asserts that there are roots; it asks no caller for a certificate then.
  const std::string& roots = contents->ca.empty() ? contents->certificate : contents->ca;
  *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

grpc_server_credentials* NewCredentials(Port& port) {
  const bool verify = !port.files->Latest()->ca.empty();
  const bool required = port.caller_certificate == CallerCertificate::kRequired;
  return grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(
          !verify    ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
          : required ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                     : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
          Fetch, &port));
}

// Credentials of its own for each port: a first answer of "unchanged" would be an error.
class Reloading final : public grpc::ServerCredentials {
 public:
  Reloading(std::shared_ptr<const TlsFiles> files, CallerCertificate caller,
            std::chrono::milliseconds session_life)
      : Reloading(std::make_unique<Port>(std::move(files), caller, session_life)) {}

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 54
  explicit Reloading(std::unique_ptr<Port> port) { ports_.push_back(std::move(port)); }
#else
  explicit Reloading(std::unique_ptr<Port> port) : grpc::ServerCredentials(NewCredentials(*port)) {
    ports_.push_back(std::move(port));
  }
#endif

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    const Port& first = *ports_.front();
    ports_.push_back(
        std::make_unique<Port>(first.files, first.caller_certificate, first.session_life));
    grpc_server_credentials* const credentials = NewCredentials(*ports_.back());
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  std::vector<std::unique_ptr<Port>> ports_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerTls(std::shared_ptr<const TlsFiles> files,
                                                   CallerCertificate caller,
                                                   std::chrono::milliseconds session_life) {
  return std::make_shared<Reloading>(std::move(files), caller, session_life);
}

std::shared_ptr<grpc::ChannelCredentials> ChannelTls(const TlsFiles::Contents& contents) {
  return grpc::SslCredentials({contents.ca, contents.key, contents.certificate});
}

}  // namespace rpc
