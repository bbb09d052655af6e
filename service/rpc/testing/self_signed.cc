#include "service/rpc/testing/self_signed.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>

namespace rpc {
namespace {

void Require(bool done) {
  if (done) return;
  std::fputs("SelfSigned: no certificate could be made\n", stderr);
  std::abort();
}

EVP_PKEY* NewKey(SelfSigned::Key kind) {
  const bool rsa = kind == SelfSigned::Key::kRsa1024;
  const int curve = kind == SelfSigned::Key::kSecp256k1 ? NID_secp256k1 : NID_X9_62_prime256v1;
  EVP_PKEY_CTX* const context = EVP_PKEY_CTX_new_id(rsa ? EVP_PKEY_RSA : EVP_PKEY_EC, nullptr);
  EVP_PKEY* key = nullptr;
  Require(EVP_PKEY_keygen_init(context) == 1 &&
          (rsa ? EVP_PKEY_CTX_set_rsa_keygen_bits(context, 1024)
               : EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, curve)) == 1 &&
          EVP_PKEY_keygen(context, &key) == 1);
  EVP_PKEY_CTX_free(context);
  return key;
}

void AddExtension(X509* to, int kind, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  Require(extension != nullptr && X509_add_ext(to, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

X509* NewCertificate(EVP_PKEY* key, const SelfSigned::Options& options) {
  const auto seconds = [](std::chrono::hours time) {
    return static_cast<long>(std::chrono::seconds(time).count());
  };
  X509* const certificate = X509_new();
  X509_set_version(certificate, /*3*/ 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), seconds(options.begins));
  X509_gmtime_adj(X509_getm_notAfter(certificate), seconds(options.ends));
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  const auto* const host = reinterpret_cast<const unsigned char*>("localhost");
  const int type = options.common_name_is_text ? MBSTRING_ASC : V_ASN1_BIT_STRING;
  Require(X509_NAME_add_entry_by_txt(name, "CN", type, host, -1, -1, 0) == 1);
  X509_set_issuer_name(certificate, name);
  AddExtension(certificate, NID_subject_alt_name, options.names);
  if (!options.usage.empty()) AddExtension(certificate, NID_ext_key_usage, options.usage);
  Require(X509_sign(certificate, key, EVP_sha256()) != 0);
  return certificate;
}

// What `write` puts into memory.
template <typename Write>
std::string Text(Write write) {
  BIO* const memory = BIO_new(BIO_s_mem());
  Require(write(memory) == 1);
  char* begin = nullptr;
  const long size = BIO_get_mem_data(memory, &begin);
  std::string text(begin, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

}  // namespace

SelfSigned::SelfSigned(const Options& options) {
  EVP_PKEY* const pair = NewKey(options.key);
  X509* const x509 = NewCertificate(pair, options);
  key = Text([pair](BIO* to) {
    return PEM_write_bio_PKCS8PrivateKey(to, pair, nullptr, nullptr, 0, nullptr, nullptr);
  });
  certificate = Text([x509](BIO* to) { return PEM_write_bio_X509(to, x509); });
  X509_free(x509);
  EVP_PKEY_free(pair);
}

std::shared_ptr<grpc::ServerCredentials> SelfSigned::Server() const {
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({key, certificate});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> SelfSigned::Caller(const SelfSigned* shows) const {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = certificate;
  if (shows != nullptr) {
    options.pem_private_key = shows->key;
    options.pem_cert_chain = shows->certificate;
  }
  return grpc::SslCredentials(options);
}

}  // namespace rpc
