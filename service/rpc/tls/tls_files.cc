#include "service/rpc/tls/tls_files.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <ctime>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/files/read_file.h"
#include "service/lifecycle/last_resort/last_words.h"

namespace rpc {
namespace {

constexpr std::time_t kDay = 24 * 60 * 60;
constexpr char kNoCertificate[] = "contains no certificate (PEM: -----BEGIN CERTIFICATE-----)";

template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

absl::Status Wrong(const std::string& file, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, " ", what));
}

char no_passphrase[] = "";  // Or the terminal would be asked for one.

Owned<BIO> Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())),
          [](BIO* memory) { BIO_free(memory); }};
}

// How many certificates begin in `text`; also where it ends within the line that begins one.
std::size_t BegunIn(absl::string_view text) {
  std::size_t begun = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (!absl::StartsWith(line, "-----BEGIN")) continue;
    const bool certificate =
        line == "-----BEGIN CERTIFICATE-----" || line == "-----BEGIN X509 CERTIFICATE-----";
    if (certificate || !absl::EndsWith(line, "-----")) ++begun;
  }
  return begun;
}

// OpenSSL skips it.
bool HasIndented(absl::string_view text) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const absl::string_view shown = absl::StripLeadingAsciiWhitespace(line);
    const bool certificate = absl::StartsWith(shown, "-----BEGIN CERTIFICATE") ||
                             absl::StartsWith(shown, "-----BEGIN X509 CERTIFICATE");
    if (certificate && shown.size() < line.size()) return true;
  }
  return false;
}

using Certificates = std::vector<Owned<X509>>;

// Empty: there is none. INVALID_ARGUMENT: `text` ends within one, or one cannot be read; gRPC would
// use those before it.
absl::StatusOr<Certificates> CertificatesIn(const std::string& file, const std::string& text) {
  if (HasIndented(text)) {
    return Wrong(file,
                 "contains an indented certificate, which would be skipped: remove the spaces "
                 "at the start of its lines");
  }
  const Owned<BIO> memory = Memory(text);
  Certificates all;
  ERR_clear_error();
  while (X509* const next = PEM_read_bio_X509(memory.get(), nullptr, nullptr, no_passphrase)) {
    all.emplace_back(next, X509_free);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (at_end && BegunIn(text) <= all.size()) return all;
  return Wrong(file, absl::StrCat("is cut off or damaged in its certificate ", all.size() + 1,
                                  ": write the whole file again, beside it, and rename that"));
}

// The first one; null: there is none that can be read.
Owned<EVP_PKEY> KeyIn(const std::string& text) {
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(Memory(text).get(), nullptr, nullptr, no_passphrase),
                      EVP_PKEY_free);
  ERR_clear_error();
  return key;
}

// "2026-11-28T17:00:00Z"
std::string Text(std::time_t time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromTimeT(time), absl::UTCTimeZone());
}

std::time_t TimeOf(const ASN1_TIME* time) {
  const Owned<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0),
                               [](ASN1_TIME* it) { ASN1_TIME_free(it); });
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return days * kDay + seconds;
}

std::time_t Expires(const X509& certificate) { return TimeOf(X509_get0_notAfter(&certificate)); }

absl::Status CheckTime(const std::string& file, const X509& certificate) {
  const std::time_t now = std::time(nullptr);
  const std::time_t begins = TimeOf(X509_get0_notBefore(&certificate));
  if (Expires(certificate) <= now) {
    return Wrong(file, absl::StrCat("has expired on ", Text(Expires(certificate)),
                                    ": renew the certificate"));
  }
  if (begins > now) {
    return Wrong(file, absl::StrCat("is not valid before ", Text(begins),
                                    ": is this machine's clock right?"));
  }
  return absl::OkStatus();
}

bool CanBeUtf8(const ASN1_STRING* text) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, text);
  OPENSSL_free(utf8);
  return size >= 0;
}

bool CanBeRead(const GENERAL_NAME& name) {
  switch (name.type) {
    case GEN_DNS:
      return CanBeUtf8(name.d.dNSName);
    case GEN_EMAIL:
      return CanBeUtf8(name.d.rfc822Name);
    case GEN_URI:
      return CanBeUtf8(name.d.uniformResourceIdentifier);
    case GEN_IPADD: {
      const int bytes = ASN1_STRING_length(name.d.iPAddress);
      return bytes == 4 || bytes == 16;
    }
    default:
      return true;
  }
}

// The first common name and the alternative names. With another, gRPC aborts the process, its
// owner's as its peer's: an assertion at the end of peer_from_x509() in ssl_transport_security.cc.
bool NamesCanBeRead(const X509& certificate) {
  auto* const subject = X509_get_subject_name(&certificate);
  const int common = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (common >= 0 && !CanBeUtf8(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, common)))) {
    return false;
  }
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(
                                       &certificate, NID_subject_alt_name, nullptr, nullptr)),
                                   GENERAL_NAMES_free);
  if (names == nullptr) return true;
  const int count = static_cast<int>(sk_GENERAL_NAME_num(names.get()));
  for (int i = 0; i < count; ++i) {
    if (!CanBeRead(*sk_GENERAL_NAME_value(names.get(), i))) return false;
  }
  return true;
}

// What peers look at besides who has signed it.
absl::Status CheckContent(const TlsFiles::Paths& paths, X509& certificate) {
  const bool names = NamesCanBeRead(certificate);
  const bool server = paths.owner == TlsFiles::Owner::kServer;
  const bool purpose =
      X509_check_purpose(&certificate, server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT,
                         /*ca=*/0) == 1;
  ERR_clear_error();
  if (!names) {
    return Wrong(paths.certificate,
                 "has a name that cannot be read: a common name that is no text, "
                 "or an IP address that is not of 4 or 16 bytes");
  }
  if (purpose) return absl::OkStatus();
  return Wrong(paths.certificate,
               absl::StrCat("is not for a ", server ? "server" : "client",
                            ": its key usage must include digitalSignature, and its extended key "
                            "usage ",
                            server ? "serverAuth" : "clientAuth", ", if it has them"));
}

absl::Status CheckPair(const TlsFiles::Paths& paths, const TlsFiles::Contents& contents) {
  const absl::StatusOr<Certificates> chain =
      CertificatesIn(paths.certificate, contents.certificate);
  if (!chain.ok()) return chain.status();
  if (chain->empty()) {
    const bool swapped = absl::StrContains(contents.certificate, "PRIVATE KEY-----");
    return Wrong(paths.certificate,
                 swapped ? "contains a private key and no certificate: are the two files swapped?"
                         : kNoCertificate);
  }
  const Owned<EVP_PKEY> key = KeyIn(contents.key);
  if (key == nullptr) {
    const bool encrypted = absl::StrContains(contents.key, "ENCRYPTED");
    return Wrong(paths.key, encrypted
                                ? "is protected by a passphrase, which nobody is asked for"
                                : "contains no private key (PEM: -----BEGIN PRIVATE KEY-----)");
  }
  const bool belongs = X509_check_private_key(chain->front().get(), key.get()) == 1;
  ERR_clear_error();
  if (!belongs) {
    return Wrong(paths.key, absl::StrCat("is not the key of the certificate in ", paths.certificate,
                                         ": the server's own certificate must come first in it"));
  }
  if (absl::Status time = CheckTime(paths.certificate, *chain->front()); !time.ok()) return time;
  return CheckContent(paths, *chain->front());
}

#ifdef OPENSSL_IS_BORINGSSL
// It has no security levels, and its client takes fewer algorithms than others do.
bool HandshakeSucceeds(SSL_CTX&) { return true; }
#else
// What it says goes to the thread's queue of errors.
bool Shake(SSL& side, bool& done) {
  const int result = SSL_do_handshake(&side);
  done = result == 1;
  if (done) return true;
  const int error = SSL_get_error(&side, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

// In memory, with a client that takes any certificate.
bool HandshakeSucceeds(SSL_CTX& serving) {
  const Owned<SSL_CTX> calling(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  const Owned<SSL> server(SSL_new(&serving), SSL_free);
  const Owned<SSL> client(calling == nullptr ? nullptr : SSL_new(calling.get()), SSL_free);
  BIO* ends[2] = {};
  if (server == nullptr || client == nullptr || BIO_new_bio_pair(&ends[0], 0, &ends[1], 0) != 1) {
    return false;
  }
  SSL_set_bio(server.get(), ends[0], ends[0]);
  SSL_set_bio(client.get(), ends[1], ends[1]);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  bool called = false;
  bool served = false;
  // A megabyte of certificates would take less than a hundred.
  for (int rounds = 0; rounds < 1000 && !(called && served); ++rounds) {
    if (!Shake(*client, called) || !Shake(*server, served)) return false;
  }
  return called && served;
}
#endif

// Only a handshake tells: gRPC takes intermediate certificates that OpenSSL does not send
// (SSL_CTX_add_extra_chain_cert), and keys that no side has an algorithm for.
absl::Status CheckUsable(const TlsFiles::Paths& paths, const TlsFiles::Contents& contents) {
  const absl::StatusOr<Certificates> chain =
      CertificatesIn(paths.certificate, contents.certificate);
  if (!chain.ok()) return chain.status();
  const Owned<EVP_PKEY> key = KeyIn(contents.key);
  const Owned<SSL_CTX> tls(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  bool usable = tls != nullptr && SSL_CTX_use_certificate(tls.get(), chain->front().get()) == 1 &&
                SSL_CTX_use_PrivateKey(tls.get(), key.get()) == 1;
  for (std::size_t i = 1; usable && i < chain->size(); ++i) {
    usable = SSL_CTX_add1_chain_cert(tls.get(), (*chain)[i].get()) == 1;
  }
  usable = usable && HandshakeSucceeds(*tls);
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  if (usable) return absl::OkStatus();
  return Wrong(paths.certificate,
               absl::StrCat("cannot be used for TLS: ", reason != nullptr ? reason : "unknown"));
}

absl::Status CheckCa(const std::string& file, const std::string& text) {
  const absl::StatusOr<Certificates> all = CertificatesIn(file, text);
  if (!all.ok()) return all.status();
  if (all->empty()) return Wrong(file, kNoCertificate);
  absl::Status status;
  for (const Owned<X509>& each : *all) {
    status = CheckTime(file, *each);
    if (status.ok()) return status;  // One that can be used is enough.
  }
  return status;
}

// What OpenSSL and gRPC read differently. gRPC reads a file as a C string, by PEM_read_bio_X509_AUX()
// (ssl_transport_security.cc), and serves nobody with what it cannot use.
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

absl::StatusOr<TlsFiles::Contents> ReadAll(const TlsFiles::Paths& paths) {
  TlsFiles::Contents contents;
  const std::pair<const std::string*, std::string*> files[] = {
      {&paths.certificate, &contents.certificate},
      {&paths.key, &contents.key},
      {&paths.ca, &contents.ca}};
  for (const auto& [path, text] : files) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> read = files::ReadFile(*path);
    if (!read.ok()) return read.status();
    *text = *std::move(read);
  }
  return contents;
}

absl::Status Check(const TlsFiles::Paths& paths, const TlsFiles::Contents& contents) {
  if (paths.certificate.empty() != paths.key.empty()) {
    return absl::InvalidArgumentError("a certificate and its key must be set together");
  }
  if (!paths.certificate.empty()) {
    if (absl::Status pair = CheckPair(paths, contents); !pair.ok()) return pair;
  }
  absl::Status status = paths.ca.empty() ? absl::OkStatus() : CheckCa(paths.ca, contents.ca);
  if (status.ok()) status = CheckText(paths.certificate, contents.certificate);
  if (status.ok()) status = CheckText(paths.key, contents.key);
  if (status.ok()) status = CheckText(paths.ca, contents.ca);
  return status;
}

// `in_use` were tried when they were new; a handshake costs milliseconds.
absl::StatusOr<TlsFiles::Contents> ReadValid(const TlsFiles::Paths& paths,
                                             const TlsFiles::Contents* in_use) {
  absl::StatusOr<TlsFiles::Contents> contents = ReadAll(paths);
  if (!contents.ok()) return contents;
  if (absl::Status valid = Check(paths, *contents); !valid.ok()) return valid;
  if (paths.certificate.empty() || (in_use != nullptr && *in_use == *contents)) return contents;
  if (absl::Status usable = CheckUsable(paths, *contents); !usable.ok()) return usable;
  return contents;
}

// 0: there is no certificate.
struct Times {
  std::time_t expires = 0;
  std::time_t renew_by = 0;
};

Times TimesOf(const TlsFiles::Contents& contents) {
  const absl::StatusOr<Certificates> chain = CertificatesIn("", contents.certificate);
  if (!chain.ok() || chain->empty()) return {};
  const X509& certificate = *chain->front();
  const std::time_t expires = Expires(certificate);
  // One that lives for a day is renewed every few hours.
  const std::time_t fifth = (expires - TimeOf(X509_get0_notBefore(&certificate))) / 5;
  return {expires, expires - std::min(7 * kDay, fifth)};
}

}  // namespace

struct TlsFiles::State {
  State(Paths named, Contents read)
      : paths(std::move(named)), latest(std::make_shared<Contents>(std::move(read))) {
    SetTimes(*latest);
  }

  void SetTimes(const Contents& contents) {
    const Times times = TimesOf(contents);
    expires = times.expires;
    renew_by = times.renew_by;
    next_reminder = 0;
  }

  void Use(const absl::StatusOr<Contents>& read) {
    if (!read.ok()) {
      return Say(absl::StrCat("TLS: ", std::string(read.status().message()),
                              "; the previous files are used until it is right"));
    }
    if (*read == *Latest()) return;
    SetTimes(*read);
    {
      std::lock_guard lock(mutex);
      latest = std::make_shared<Contents>(*read);
    }
    ++generation;
    const std::string until = expires == 0 ? "" : absl::StrCat(", valid until ", Text(expires));
    Say(absl::StrCat("TLS: the renewed ", paths.certificate.empty() ? paths.ca : paths.certificate,
                     " is used from now on", until));
  }

  void SayWhenItExpires() {
    const std::time_t now = std::time(nullptr);
    if (expires == 0 || now < renew_by || now < next_reminder) return;
    next_reminder = now + kDay;
    Say(absl::StrCat("TLS: ", paths.certificate,
                     expires > now ? " expires on " : " has expired on ", Text(expires),
                     ": renew the certificate, it is picked up without a restart"));
  }

  void Say(const std::string& line) {
    std::lock_guard lock(mutex);  // What it writes to is there until LogTo() has returned.
    if (write) return write(line);
    lifecycle::WriteLastWords({"warning: ", line});
  }

  std::shared_ptr<const Contents> Latest() {
    std::lock_guard lock(mutex);
    return latest;
  }

  const Paths paths;
  std::mutex mutex;
  Write write;                             // Guarded by mutex.
  std::shared_ptr<const Contents> latest;  // Guarded by mutex.
  std::atomic<std::int64_t> generation{1};
  std::atomic<std::int64_t> expires{0};
  std::atomic<std::int64_t> renew_by{0};
  std::time_t next_reminder = 0;  // The watch's own.
};

absl::StatusOr<std::shared_ptr<TlsFiles>> TlsFiles::Open(Paths paths, Write write,
                                                         std::chrono::milliseconds interval) {
  absl::StatusOr<Contents> read = ReadValid(paths, nullptr);
  if (!read.ok()) return read.status();
  auto state = std::make_shared<State>(std::move(paths), *std::move(read));
  state->write = std::move(write);
  try {
    return std::shared_ptr<TlsFiles>(new TlsFiles(std::move(state), interval));
  } catch (const std::system_error& error) {
    return absl::UnavailableError(absl::StrCat("no thread to watch TLS files: ", error.what()));
  }
}

TlsFiles::TlsFiles(std::shared_ptr<State> state, std::chrono::milliseconds interval)
    : state_(std::move(state)),
      watch_(
          [state = state_] {
            state->SayWhenItExpires();
            return ReadValid(state->paths, state->Latest().get());
          },
          *state_->Latest(),
          [state = state_.get()](const absl::StatusOr<Contents>& read) { state->Use(read); },
          interval) {}

TlsFiles::~TlsFiles() { LogTo(nullptr); }

void TlsFiles::LogTo(Write write) {
  std::lock_guard lock(state_->mutex);
  state_->write = std::move(write);
}

std::shared_ptr<const TlsFiles::Contents> TlsFiles::Latest() const { return state_->Latest(); }

std::int64_t TlsFiles::generation() const { return state_->generation; }

std::int64_t TlsFiles::expires() const { return state_->expires; }

std::int64_t TlsFiles::renew_by() const { return state_->renew_by; }

}  // namespace rpc
