#include "client/tls.h"

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace client {
namespace {

class TlsTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  static std::string Error(const TlsOptions& options) {
    const absl::Status status = TlsFromFiles(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  const testkit::TempDir directory_;
};

TEST_F(TlsTest, NeedsNoFile) { EXPECT_TRUE(TlsFromFiles({}).ok()); }

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

}  // namespace
}  // namespace client
