#include "client/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/read_all.h"

namespace client {
namespace {

template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

char no_passphrase[] = "";  // Or the terminal would be asked for one.

absl::Status Wrong(const std::string& file, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, " ", what));
}

// Reads a file that must contain `what`: "CERTIFICATE-----".
absl::StatusOr<std::string> Read(const std::string& file, const std::string& what) {
  if (file.empty()) return std::string();
  std::error_code error;
  // A directory cannot be read, and a pipe may have no writer.
  const bool regular = std::filesystem::is_regular_file(file, error);
  std::ifstream stream;
  if (regular) stream.open(file);
  if (!stream.is_open()) return absl::InvalidArgumentError(absl::StrCat("cannot read ", file));
  std::string text;
  if (ReadAll(stream, text) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", file));
  }
  if (absl::StrContains(text, what)) return text;
  return Wrong(file, absl::StrCat("has no -----BEGIN ", what));
}

Owned<BIO> Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
          [](BIO* memory) { BIO_free(memory); }};
}

// How many certificates begin in `text`; also where it ends within the line that begins one, and
// indented ones, which OpenSSL skips.
std::size_t BegunIn(absl::string_view text) {
  std::size_t begun = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!absl::StartsWith(line, "-----BEGIN")) continue;
    const bool certificate =
        line == "-----BEGIN CERTIFICATE-----" || line == "-----BEGIN X509 CERTIFICATE-----";
    if (certificate || !absl::EndsWith(line, "-----")) ++begun;
  }
  return begun;
}

// The first certificate. A file that is still being written ends within one, and gRPC would use
// those before it.
absl::StatusOr<Owned<X509>> FirstCertificate(const std::string& file, const std::string& text) {
  const Owned<BIO> memory = Memory(text);
  Owned<X509> first(nullptr, X509_free);
  std::size_t whole = 0;
  ERR_clear_error();
  while (X509* const next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, no_passphrase)) {
    Owned<X509> owned(next, X509_free);
    if (++whole == 1) first = std::move(owned);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end || BegunIn(text) > whole) {
    return Wrong(
        file,
        "contains a certificate that is cut off, damaged or indented: write the whole file again");
  }
  if (first == nullptr) return Wrong(file, "has no -----BEGIN CERTIFICATE-----");
  return first;
}

// What OpenSSL and gRPC read differently. gRPC reads a file as a C string, by PEM_read_bio_X509_AUX()
// (ssl_transport_security.cc), and connects to nobody with what it cannot use.
absl::Status CheckText(const std::string& file, const std::string& text) {
  constexpr absl::string_view kTrusted = "-----BEGIN TRUSTED CERTIFICATE-----";
  if (absl::StrContains(text, '\0')) {
    return Wrong(file, "contains a NUL byte, where gRPC stops to read: write it again as text");
  }
  if (absl::StartsWith(text, kTrusted) || absl::StrContains(text, absl::StrCat("\n", kTrusted))) {
    return Wrong(file,
                 absl::StrCat("contains a ", kTrusted,
                              ", which gRPC reads in its own way: convert it with openssl x509"));
  }
  return absl::OkStatus();
}

absl::Status CheckPair(const TlsOptions& files, const std::string& certificate,
                       const std::string& key) {
  const absl::StatusOr<Owned<X509>> own = FirstCertificate(files.certificate, certificate);
  if (!own.ok()) return own.status();
  const Owned<EVP_PKEY> parsed(
      PEM_read_bio_PrivateKey(Memory(key).get(), nullptr, nullptr, no_passphrase), EVP_PKEY_free);
  ERR_clear_error();
  if (parsed == nullptr) {
    return Wrong(files.key, "contains a private key that is cut off, damaged or encrypted");
  }
  const bool belongs = X509_check_private_key(own->get(), parsed.get()) == 1;
  ERR_clear_error();
  if (!belongs) {
    return Wrong(files.key, absl::StrCat("is not the key of the certificate in ", files.certificate,
                                         ": the client's own certificate must come first in it"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsFiles::Contents> TlsFiles::ReadValid(const TlsOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError("a certificate and its key must be set together");
  }
  auto ca = Read(options.ca, "CERTIFICATE-----");
  if (!ca.ok()) return ca.status();
  auto certificate = Read(options.certificate, "CERTIFICATE-----");
  if (!certificate.ok()) return certificate.status();
  auto key = Read(options.key, "PRIVATE KEY-----");
  if (!key.ok()) return key.status();
  if (!ca->empty()) {
    const auto first = FirstCertificate(options.ca, *ca);
    if (!first.ok()) return first.status();
  }
  if (!certificate->empty()) {
    const absl::Status pair = CheckPair(options, *certificate, *key);
    if (!pair.ok()) return pair;
  }
  absl::Status text = CheckText(options.ca, *ca);
  if (text.ok()) text = CheckText(options.certificate, *certificate);
  if (text.ok()) text = CheckText(options.key, *key);
  if (!text.ok()) return text;
  return Contents{*std::move(ca), *std::move(certificate), *std::move(key)};
}

std::shared_ptr<grpc::ChannelCredentials> TlsFiles::CredentialsOf(const Contents& contents) {
  return grpc::SslCredentials({contents.ca, contents.key, contents.certificate});
}

absl::StatusOr<std::shared_ptr<TlsFiles>> TlsFiles::Open(TlsOptions options,
                                                         std::chrono::milliseconds interval) {
  absl::StatusOr<Contents> contents = ReadValid(options);
  if (!contents.ok()) return contents.status();
  return std::shared_ptr<TlsFiles>(
      new TlsFiles(std::move(options), interval, *std::move(contents)));
}

TlsFiles::TlsFiles(TlsOptions options, std::chrono::milliseconds interval, Contents contents)
    : options_(std::move(options)),
      interval_(interval),
      contents_(std::move(contents)),
      credentials_(CredentialsOf(contents_)),
      looked_(std::chrono::steady_clock::now()) {}

std::shared_ptr<grpc::ChannelCredentials> TlsFiles::Latest() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < interval_) return credentials_;
  looked_ = now;
  absl::StatusOr<Contents> read = ReadValid(options_);
  Report(read.ok() ? "" : std::string(read.status().message()));
  if (read.ok() && *read != contents_) {
    contents_ = *std::move(read);
    credentials_ = CredentialsOf(contents_);
  }
  return credentials_;
}

void TlsFiles::Report(const std::string& fault) {
  const bool again = fault == std::exchange(seen_fault_, fault);
  if (!again || fault == std::exchange(reported_fault_, fault)) return;
  if (options_.on_fault && !fault.empty()) options_.on_fault(fault);
}

}  // namespace client
