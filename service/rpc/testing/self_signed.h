#ifndef SERVICE_RPC_TESTING_SELF_SIGNED_H_
#define SERVICE_RPC_TESTING_SELF_SIGNED_H_

#include <memory>
#include <string>

#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

namespace rpc {

// A private key and a certificate for "localhost" that it has signed itself, both in PEM;
// new ones each time, valid for a day.
struct SelfSigned {
  SelfSigned();

  // TLS for a server that shows it.
  std::shared_ptr<grpc::ServerCredentials> Server() const;
  // TLS for a caller who trusts it, and who calls "localhost".
  std::shared_ptr<grpc::ChannelCredentials> Caller() const;

  std::string key;
  std::string certificate;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_SELF_SIGNED_H_
