#include "client/tls.h"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "client/testing/development_ca.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class TlsTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  static std::string Error(const TlsOptions& options) {
    const absl::Status status = TlsFiles::Open(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  const testkit::TempDir directory_;
};

TEST_F(TlsTest, NeedsNoFile) { EXPECT_TRUE(TlsFiles::Open({}).ok()); }

TEST_F(TlsTest, WantsACertificateAndItsKeyTogether) {
  const std::string together = "a certificate and its key must be set together";
  EXPECT_EQ(Error({.certificate = "certificate.pem"}), together);
  EXPECT_EQ(Error({.key = "key.pem"}), together);
}

TEST_F(TlsTest, NamesAFileThatCannotBeRead) {
  const std::string nowhere = directory_.File("nowhere");
  EXPECT_EQ(Error({.ca = nowhere}), "cannot read " + nowhere);
  EXPECT_EQ(Error({.ca = directory_.path()}), "cannot read " + directory_.path());
}

TEST_F(TlsTest, NamesAFileThatContainsSomethingElse) {
  const std::string file = Write("file", "garbage");
  EXPECT_EQ(Error({.ca = file}), file + " has no -----BEGIN CERTIFICATE-----");
  const std::string certificate = Write("certificate", "-----BEGIN CERTIFICATE-----");
  EXPECT_EQ(Error({.certificate = certificate, .key = file}),
            file + " has no -----BEGIN PRIVATE KEY-----");
}

// Files of one CA, and another one, with which they are renewed.
class RenewedTlsTest : public TlsTest {
 protected:
  RenewedTlsTest() { Renew(old_); }

  void Renew(const DevelopmentCa& from) {
    for (const char* const name : {"ca.pem", "client.pem", "client.key"}) {
      Write(name, from.Text(name));
    }
  }

  std::shared_ptr<TlsFiles> Open(std::chrono::milliseconds interval = {}) {
    auto files = TlsFiles::Open(Options(), interval);
    EXPECT_TRUE(files.ok()) << files.status();
    return *files;
  }

  TlsOptions Options() {
    return {.ca = directory_.File("ca.pem"),
            .certificate = directory_.File("client.pem"),
            .key = directory_.File("client.key"),
            .on_fault = [this](const std::string& fault) { faults_.push_back(fault); }};
  }

  const DevelopmentCa old_;
  const DevelopmentCa new_;
  std::vector<std::string> faults_;
};

TEST_F(RenewedTlsTest, RenewedFilesMakeNewCredentials) {
  const auto files = Open();
  const auto before = files->Latest();
  EXPECT_EQ(files->Latest(), before);
  Renew(new_);
  const auto after = files->Latest();
  EXPECT_NE(after, before);
  EXPECT_EQ(files->Latest(), after);
  EXPECT_THAT(faults_, IsEmpty());
}

TEST_F(RenewedTlsTest, ARenewedCaAloneMakesNewCredentials) {
  const auto files = Open();
  const auto before = files->Latest();
  Write("ca.pem", old_.Text("ca.pem") + new_.Text("ca.pem"));
  EXPECT_NE(files->Latest(), before);
}

TEST_F(RenewedTlsTest, FaultyFilesChangeNothing) {
  const auto files = Open();
  const auto before = files->Latest();
  const std::string certificate = new_.Text("client.pem");
  const std::string key = new_.Text("client.key");
  const struct {
    std::string name;
    std::string text;
    std::string fault;
  } faults[] = {
      {"client.pem", certificate, "/client.key is not the key of the certificate in "},
      {"client.key", key, "/client.key is not the key of the certificate in "},
      {"client.pem", old_.Text("client.pem") + certificate.substr(0, certificate.size() / 2),
       "/client.pem contains a certificate that is cut off, damaged or indented"},
      {"client.key", key.substr(0, key.size() / 2),
       "/client.key contains a private key that is cut off, damaged or encrypted"},
      {"ca.pem", old_.Text("ca.pem") + certificate.substr(0, certificate.size() / 2),
       "/ca.pem contains a certificate that is cut off, damaged or indented"},
      {"ca.pem", "", "/ca.pem has no -----BEGIN CERTIFICATE-----"},
  };
  for (const auto& each : faults) {
    Write(each.name, each.text);
    for (int look = 0; look < 3; ++look) EXPECT_EQ(files->Latest(), before) << each.fault;
    EXPECT_THAT(faults_, ElementsAre(testing::HasSubstr(each.fault)));
    faults_.clear();
    Renew(old_);
    for (int look = 0; look < 2; ++look) EXPECT_EQ(files->Latest(), before);
  }
  std::remove(directory_.File("client.key").c_str());
  EXPECT_EQ(files->Latest(), before);
  Renew(new_);
  EXPECT_NE(files->Latest(), before);
  EXPECT_THAT(faults_, IsEmpty());  // One look is no fault yet.
}

TEST_F(RenewedTlsTest, ASecondCertificateThatIsCutOffIsAnError) {
  const std::string second = new_.Text("ca.pem");
  for (const std::size_t cut :
       {std::string("-----BEGIN CERTIF").size(), std::string("-----BEGIN CERTIFICATE-----").size(),
        second.size() / 2, second.find("-----END") + 3}) {
    for (const char* const name : {"client.pem", "ca.pem"}) {
      Write(name, old_.Text(name) + second.substr(0, cut));
      EXPECT_THAT(Error(Options()),
                  testing::HasSubstr("contains a certificate that is cut off, damaged or indented"))
          << name << " " << cut;
      Write(name, old_.Text(name));
    }
  }
}

// As pasted from YAML. OpenSSL skips such a line, and what follows it.
TEST_F(RenewedTlsTest, AnIndentedCertificateIsAnError) {
  for (const char* const name : {"client.pem", "ca.pem"}) {
    Write(name, old_.Text(name) + "  " + new_.Text("ca.pem"));
    EXPECT_THAT(Error(Options()),
                testing::HasSubstr("contains a certificate that is cut off, damaged or indented"))
        << name;
    Write(name, old_.Text(name));
  }
}

// What OpenSSL reads, and gRPC does not: no connection would succeed.
TEST_F(RenewedTlsTest, ANulByteOrATrustedCertificateIsAnError) {
  const std::string trusted =
      absl::StrReplaceAll(new_.Text("ca.pem"), {{" CERT", " TRUSTED CERT"}});
  for (const char* const name : {"client.pem", "client.key", "ca.pem"}) {
    Write(name, std::string(1, '\0') + "\n" + old_.Text(name));
    EXPECT_THAT(Error(Options()), testing::HasSubstr(" contains a NUL byte")) << name;
    Write(name, trusted + old_.Text(name));
    EXPECT_THAT(Error(Options()),
                testing::HasSubstr(" contains a -----BEGIN TRUSTED CERTIFICATE-----"))
        << name;
    Write(name, old_.Text(name));
  }
}

TEST_F(RenewedTlsTest, OtherTextMayBeBetweenCertificates) {
  for (const char* const name : {"client.pem", "ca.pem"}) {
    const std::string windows = absl::StrReplaceAll(new_.Text("ca.pem"), {{"\n", "\r\n"}});
    Write(name, "subject=CN = development\n" + old_.Text(name) +
                    "# -----BEGIN CERTIFICATE-----\n\n" + windows + "\r\nThe end.");
  }
  EXPECT_EQ(TlsFiles::Open(Options()).status(), absl::OkStatus());
}

TEST_F(RenewedTlsTest, AKeyOfAnotherCertificateIsAnError) {
  Write("client.key", new_.Text("client.key"));
  EXPECT_EQ(Error(Options()), directory_.File("client.key") +
                                  " is not the key of the certificate in " +
                                  directory_.File("client.pem") +
                                  ": the client's own certificate must come first in it");
}

TEST_F(RenewedTlsTest, FilesAreReadOnceAnInterval) {
  const auto files = Open(std::chrono::hours(1));
  const auto before = files->Latest();
  Renew(new_);
  EXPECT_EQ(files->Latest(), before);
}

}  // namespace
}  // namespace client
