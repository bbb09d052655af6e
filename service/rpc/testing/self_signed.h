#ifndef SERVICE_RPC_TESTING_SELF_SIGNED_H_
#define SERVICE_RPC_TESTING_SELF_SIGNED_H_

#include <chrono>
#include <memory>
#include <string>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

namespace rpc {

// A private key and a certificate that it has signed itself, both in PEM; new ones each time. Who
// trusts the certificate as a CA trusts it as a peer's.
struct SelfSigned {
  // The others are of no use for TLS.
  enum class Key { kP256, kSecp256k1, kRsa1024 };

  struct Options {
    // Subject alternative names, as OpenSSL writes them: "URI:spiffe://test/caller".
    std::string names = "DNS:localhost,IP:127.0.0.1";
    // Extended key usage, the same: "serverAuth"; empty: it has none.
    std::string usage = {};
    bool common_name_is_text = true;
    Key key = Key::kP256;
    // From now.
    std::chrono::hours begins{-24};
    std::chrono::hours ends{24};
  };

  SelfSigned() : SelfSigned(Options()) {}
  explicit SelfSigned(const Options& options);

  // TLS for a server that shows it.
  std::shared_ptr<grpc::ServerCredentials> Server() const;
  // TLS for a caller who trusts it, and who shows another one, or none.
  std::shared_ptr<grpc::ChannelCredentials> Caller(const SelfSigned* shows = nullptr) const;

  std::string key;
  std::string certificate;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_SELF_SIGNED_H_
