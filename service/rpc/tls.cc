#include "service/rpc/tls.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

absl::StatusOr<std::string> Read(const std::string& file) {
  std::ifstream stream(file);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) return absl::InvalidArgumentError(absl::StrCat("cannot read ", file));
  return text;
}

// Null: there is none in it.
template <typename Object, typename ReadPem>
std::shared_ptr<Object> Parse(const std::string& text, ReadPem read, void (*free)(Object*)) {
  const std::unique_ptr<BIO, int (*)(BIO*)> memory(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
  char no_passphrase[] = "";  // Or the terminal would be asked for one.
  return {read(memory.get(), nullptr, nullptr, no_passphrase), free};
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsFromFiles(
    const std::string& certificate_file, const std::string& key_file) {
  absl::StatusOr<std::string> certificate = Read(certificate_file);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = Read(key_file);
  if (!key.ok()) return key.status();
  // gRPC looks at them when a caller comes, and serves nobody then.
  const auto x509 = Parse<X509>(*certificate, PEM_read_bio_X509, X509_free);
  if (x509 == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(certificate_file, " contains no certificate"));
  }
  const auto private_key = Parse<EVP_PKEY>(*key, PEM_read_bio_PrivateKey, EVP_PKEY_free);
  if (private_key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(key_file, " contains no private key"));
  }
  if (X509_check_private_key(x509.get(), private_key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(key_file, " is not the key of the certificate in ", certificate_file));
  }
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({*std::move(key), *std::move(certificate)});
  return grpc::SslServerCredentials(options);
}

}  // namespace rpc
