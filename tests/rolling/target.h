#ifndef TESTS_ROLLING_TARGET_H_
#define TESTS_ROLLING_TARGET_H_

#include <memory>
#include <string>

#include "grpcpp/security/credentials.h"

namespace rolling {

// Where servers are, and how they are called.
struct Target {
  // As gRPC has it.
  std::string uri;
  // PEM file of the certificate, made out to kServerName, that they show; empty: plaintext.
  std::string certificate_file = {};

  static constexpr char kServerName[] = "localhost";

  bool tls() const { return !certificate_file.empty(); }
  std::shared_ptr<grpc::ChannelCredentials> Credentials() const;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_TARGET_H_
