#include "service/rpc/tls.h"

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

class TlsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  const testkit::TempDir directory_;
  const SelfSigned identity_;
  const std::string certificate_ = Write("certificate", identity_.certificate);
  const std::string key_ = Write("key", identity_.key);
};

TEST_F(TlsTest, IsThatOfTheCertificateAndItsKey) {
  const auto credentials = TlsFromFiles(certificate_, key_);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  probe::Probe::CallbackService service;
  GoodbyeSignal goodbye;
  ServerHost host({.credentials = *credentials}, {{"probe.Probe", service}}, goodbye);
  ASSERT_TRUE(host.Start().ok());
  ASSERT_TRUE(host.OpenListener().ok());
  RawPeer peer(host.address(), {.tls = true});
  EXPECT_TRUE(peer.Await(RawPeer::kSettings).has_value());
  RawPeer plaintext(host.address());
  EXPECT_TRUE(plaintext.AwaitEnd());
  host.CloseListener();
}

TEST_F(TlsTest, NamesAFileThatIsNotThere) {
  const std::string nowhere = directory_.File("nowhere");
  for (const auto& each : {TlsFromFiles(nowhere, key_), TlsFromFiles(certificate_, nowhere)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(each.status()));
    EXPECT_EQ(std::string(each.status().message()), "cannot read " + nowhere);
  }
}

TEST_F(TlsTest, NamesAFileThatHoldsSomethingElse) {
  const absl::Status no_certificate = TlsFromFiles(key_, key_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(no_certificate));
  EXPECT_EQ(std::string(no_certificate.message()), key_ + " contains no certificate");
  const absl::Status no_key = TlsFromFiles(certificate_, certificate_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(no_key));
  EXPECT_EQ(std::string(no_key.message()), certificate_ + " contains no private key");
}

TEST_F(TlsTest, NamesAKeyThatIsAnothers) {
  const std::string other = Write("other", SelfSigned().key);
  const absl::Status status = TlsFromFiles(certificate_, other).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(std::string(status.message()),
            other + " is not the key of the certificate in " + certificate_);
}

}  // namespace
}  // namespace rpc
