#include "client/tls.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace client {
namespace {

// Reads a file that must contain `what`: "CERTIFICATE-----".
absl::StatusOr<std::string> Read(const std::string& file, const std::string& what) {
  if (file.empty()) return std::string();
  std::error_code error;
  // A directory cannot be read, and a pipe may have no writer.
  const bool regular = std::filesystem::is_regular_file(file, error);
  std::ifstream stream;
  if (regular) stream.open(file);
  if (!stream.is_open()) return absl::InvalidArgumentError(absl::StrCat("cannot read ", file));
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (absl::StrContains(text, what)) return text;
  return absl::InvalidArgumentError(absl::StrCat(file, " has no -----BEGIN ", what));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsFromFiles(const TlsOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError("a certificate and its key must be set together");
  }
  auto ca = Read(options.ca, "CERTIFICATE-----");
  if (!ca.ok()) return ca.status();
  auto certificate = Read(options.certificate, "CERTIFICATE-----");
  if (!certificate.ok()) return certificate.status();
  auto key = Read(options.key, "PRIVATE KEY-----");
  if (!key.ok()) return key.status();
  return grpc::SslCredentials({*ca, *key, *certificate});
}

}  // namespace client
