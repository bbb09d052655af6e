#include "tests/rolling/target.h"

#include <fstream>
#include <iterator>

namespace rolling {

std::shared_ptr<grpc::ChannelCredentials> Target::Credentials() const {
  if (!tls()) return grpc::InsecureChannelCredentials();
  std::ifstream file(certificate_file);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = {std::istreambuf_iterator<char>(file), {}};
  return grpc::SslCredentials(options);
}

}  // namespace rolling
