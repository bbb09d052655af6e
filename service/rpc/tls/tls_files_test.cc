#include "service/rpc/tls/tls_files.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class TlsFilesTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  static std::string Error(const TlsFiles::Paths& paths) {
    const absl::Status status = TlsFiles::Open(paths).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  std::string ErrorOf(const SelfSigned& other) const {
    return Error({Write("certificate", other.certificate), Write("key", other.key), ""});
  }

  std::string ErrorOfChain(const std::string& chain) const {
    return Error({Write("chain", chain), key_, ""});
  }

  const testkit::TempDir directory_;
  const SelfSigned first_{{.ends = hours(24 * 60)}};
  const std::string certificate_ = Write("certificate", first_.certificate);
  const std::string key_ = Write("key", first_.key);
};

TEST_F(TlsFilesTest, AreWhatTheFilesContain) {
  const std::string ca = Write("ca", SelfSigned().certificate);
  const auto files = TlsFiles::Open({certificate_, key_, ca});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->Latest()->certificate, first_.certificate);
  EXPECT_EQ((*files)->Latest()->key, first_.key);
  EXPECT_THAT((*files)->Latest()->ca, StartsWith("-----BEGIN CERTIFICATE-----"));
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_GT((*files)->expires(), std::chrono::duration_cast<std::chrono::seconds>(now).count());
  EXPECT_EQ((*files)->expires() - (*files)->renew_by(),
            std::chrono::seconds(hours(24 * 7)).count());
}

TEST_F(TlsFilesTest, AreToBeRenewedInTheLastFifthOfAShortLife) {
  const SelfSigned daily({.begins = hours(-1), .ends = hours(24)});
  const auto files =
      TlsFiles::Open({Write("certificate", daily.certificate), Write("key", daily.key), ""});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->expires() - (*files)->renew_by(), std::chrono::seconds(hours(5)).count());
}

TEST_F(TlsFilesTest, MayBeACaAlone) {
  const auto files = TlsFiles::Open({"", "", certificate_});
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ((*files)->expires(), 0);
}

TEST_F(TlsFilesTest, HaveACertificateAndItsKeyTogether) {
  EXPECT_EQ(Error({certificate_, "", ""}), "a certificate and its key must be set together");
  EXPECT_EQ(Error({"", key_, ""}), "a certificate and its key must be set together");
}

TEST_F(TlsFilesTest, NameAFileThatCannotBeRead) {
  const std::string nowhere = directory_.File("nowhere");
  const std::string error = "cannot read " + nowhere + ": No such file or directory";
  EXPECT_EQ(Error({nowhere, key_, ""}), error);
  EXPECT_EQ(Error({certificate_, nowhere, ""}), error);
  EXPECT_EQ(Error({certificate_, key_, nowhere}), error);
  EXPECT_EQ(Error({directory_.path(), key_, ""}),
            "cannot read " + directory_.path() + ": Is a directory");
}

TEST_F(TlsFilesTest, WaitForNoWriterOfAPipe) {
  const std::string pipe = directory_.File("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(Error({pipe, key_, ""}), pipe + " is not a regular file");
}

TEST_F(TlsFilesTest, NameAFileThatContainsSomethingElse) {
  const std::string garbage = Write("garbage", std::string("\0\xFF garbage", 10));
  EXPECT_THAT(Error({garbage, key_, ""}), StartsWith(garbage + " contains no certificate"));
  EXPECT_THAT(Error({certificate_, garbage, ""}), StartsWith(garbage + " contains no private key"));
  EXPECT_THAT(Error({certificate_, key_, garbage}), StartsWith(garbage + " contains no certif"));
  const std::string large = Write("large", std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(Error({certificate_, large, ""}), large + " is larger than 1048576 bytes");
}

TEST_F(TlsFilesTest, AreRecognizedWhenTheyAreSwapped) {
  EXPECT_EQ(Error({key_, certificate_, ""}),
            key_ + " contains a private key and no certificate: are the two files swapped?");
}

TEST_F(TlsFilesTest, NameAKeyThatIsAnothers) {
  const std::string other = Write("other", SelfSigned().key);
  EXPECT_THAT(Error({certificate_, other, ""}),
              StartsWith(other + " is not the key of the certificate in " + certificate_));
}

TEST_F(TlsFilesTest, NameACertificateThatHasExpired) {
  EXPECT_THAT(
      ErrorOf(SelfSigned({.begins = hours(-48), .ends = hours(-24)})),
      AllOf(StartsWith(certificate_ + " has expired on 20"), EndsWith("Z: renew the certificate")));
}

TEST_F(TlsFilesTest, NameACertificateThatIsNotValidYet) {
  EXPECT_THAT(ErrorOf(SelfSigned({.begins = hours(24), .ends = hours(48)})),
              AllOf(StartsWith(certificate_ + " is not valid before 20"),
                    EndsWith("Z: is this machine's clock right?")));
}

TEST_F(TlsFilesTest, NameACaThatHasExpired) {
  const SelfSigned old({.begins = hours(-48), .ends = hours(-24)});
  const std::string ca = Write("ca", old.certificate);
  EXPECT_THAT(Error({certificate_, key_, ca}), StartsWith(ca + " has expired on 20"));
  // The old one beside the new one.
  Write("ca", old.certificate + first_.certificate);
  EXPECT_TRUE(TlsFiles::Open({certificate_, key_, ca}).ok());
}

TEST_F(TlsFilesTest, NameAKeyWithAPassphrase) {
  const std::string key = Write("encrypted",
                                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
                                "-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_THAT(Error({certificate_, key, ""}), StartsWith(key + " is protected by a passphrase"));
}

// A chain or a list of CAs whose second certificate is not whole.
TEST_F(TlsFilesTest, NameACertificateThatIsCutOff) {
  const std::string second = SelfSigned().certificate;
  const std::size_t end = second.find("-----END");
  const std::size_t cuts[] = {std::string("-----BEGIN CERTIF").size(),
                              std::string("-----BEGIN CERTIFICATE-----").size(),
                              second.size() / 2,
                              end,
                              end + 3,
                              second.find_last_of('-') - 2};
  for (const std::size_t cut : cuts) {
    const std::string file = Write("cut", first_.certificate + second.substr(0, cut));
    const std::string error = file + " is cut off or damaged in its certificate 2: ";
    EXPECT_THAT(Error({file, key_, ""}), StartsWith(error)) << cut;
    EXPECT_THAT(Error({certificate_, key_, file}), StartsWith(error)) << cut;
  }
  const std::string half = second.substr(0, second.size() / 2);
  EXPECT_THAT(ErrorOfChain(half + first_.certificate),
              HasSubstr(" damaged in its certificate 1: "));
  // Put together from a file that does not end with a line break.
  const std::string glued = second.substr(0, second.find_last_of('-') + 1) + first_.certificate;
  EXPECT_THAT(ErrorOfChain(glued), HasSubstr(" damaged in its certificate 1: "));
}

// As cert-manager, Certbot and people write them.
TEST_F(TlsFilesTest, MayHaveOtherTextBetweenCertificates) {
  const std::string second = SelfSigned().certificate;
  const std::string windows =
      absl::StrReplaceAll(first_.certificate + second, {{"\n", "\r\n"}}) + "\r\n\r\n";
  const std::string texts[] = {
      first_.certificate + "\n" + second + "\n\n",
      "# The server's.\nsubject=CN = server\n" + first_.certificate +
          "# -----BEGIN CERTIFICATE-----\n" + second + "The end.",
      windows,
      first_.certificate + second.substr(0, second.find_last_of('-') + 1),
      first_.certificate + first_.key + second,
  };
  for (const std::string& text : texts) {
    const std::string file = Write("whole", text);
    EXPECT_EQ(TlsFiles::Open({file, key_, file}).status(), absl::OkStatus()) << text;
  }
}

// OpenSSL 3 refuses them by the default security level; BoringSSL has none.
#ifndef OPENSSL_IS_BORINGSSL
TEST_F(TlsFilesTest, NameACertificateThatNoHandshakeSucceedsWith) {
  const SelfSigned weak({.key = SelfSigned::Key::kRsa1024});
  EXPECT_THAT(ErrorOfChain(first_.certificate + weak.certificate),
              HasSubstr(" cannot be used for TLS: ca key too small"));
  EXPECT_THAT(ErrorOf(SelfSigned({.key = SelfSigned::Key::kRsa1024})),
              HasSubstr(" cannot be used for TLS: "));
  EXPECT_THAT(ErrorOf(SelfSigned({.key = SelfSigned::Key::kSecp256k1})),
              HasSubstr(" cannot be used for TLS: "));
}
#endif

TEST_F(TlsFilesTest, MayHaveMoreCertificatesThanFitIntoOneWrite) {
  std::string chain = first_.certificate;
  while (chain.size() < 100'000) chain += first_.certificate;
  EXPECT_EQ(TlsFiles::Open({Write("chain", chain), key_, ""}).status(), absl::OkStatus());
}

TEST_F(TlsFilesTest, NameACertificateOfTheOtherSide) {
  const SelfSigned servers({.usage = "serverAuth"});
  const SelfSigned clients({.usage = "clientAuth"});
  EXPECT_THAT(ErrorOf(clients),
              AllOf(StartsWith(certificate_ + " is not for a server: "), HasSubstr(" serverAuth")));
  TlsFiles::Paths paths = {certificate_, key_};
  EXPECT_FALSE(TlsFiles::Open(paths).ok());
  paths.owner = TlsFiles::Owner::kClient;
  EXPECT_EQ(TlsFiles::Open(paths).status(), absl::OkStatus());
  Write("certificate", servers.certificate);
  Write("key", servers.key);
  EXPECT_THAT(Error(paths),
              AllOf(StartsWith(certificate_ + " is not for a client: "), HasSubstr(" clientAuth")));
  paths.owner = TlsFiles::Owner::kServer;
  EXPECT_EQ(TlsFiles::Open(paths).status(), absl::OkStatus());
}

// gRPC would abort the process at the first handshake.
TEST_F(TlsFilesTest, NameACertificateWhoseNamesCannotBeRead) {
  const std::string error = certificate_ + " has a name that cannot be read: ";
  EXPECT_THAT(ErrorOf(SelfSigned({.common_name_is_text = false})), StartsWith(error));
  // An IP address of two bytes, in a list.
  EXPECT_THAT(ErrorOf(SelfSigned({.names = "DER:30:04:87:02:0A:00"})), StartsWith(error));
  const SelfSigned all({.names = "DNS:a,IP:10.0.0.1,IP:::1,URI:spiffe://a,email:a@b,RID:1.2.3"});
  EXPECT_EQ(TlsFiles::Open({Write("certificate", all.certificate), Write("key", all.key)}).status(),
            absl::OkStatus());
}

// As pasted from YAML. OpenSSL skips such a line, and what follows it.
TEST_F(TlsFilesTest, NameAnIndentedCertificate) {
  const std::string second = SelfSigned().certificate;
  const std::string texts[] = {
      first_.certificate + "  " + absl::StrReplaceAll(second, {{"\n", "\n  "}}),
      first_.certificate + "\t" + second,
      " " + second + first_.certificate,
      first_.certificate + " " + absl::StrReplaceAll(second, {{" CERT", " X509 CERT"}}),
  };
  for (const std::string& text : texts) {
    const std::string file = Write("indented", text);
    const std::string error = file + " contains an indented certificate, which would be skipped: ";
    EXPECT_THAT(Error({file, key_, ""}), StartsWith(error)) << text;
    EXPECT_THAT(Error({certificate_, key_, file}), StartsWith(error)) << text;
  }
}

// What OpenSSL reads, and gRPC does not: it would serve nobody.
TEST_F(TlsFilesTest, NameAFileWithANulByte) {
  const std::string nul(1, '\0');
  const std::string certificate = Write("nul.crt", nul + "\n" + first_.certificate);
  const std::string key = Write("nul.key", first_.key + nul);
  EXPECT_THAT(Error({certificate, key_, ""}), StartsWith(certificate + " contains a NUL byte"));
  EXPECT_THAT(Error({certificate_, key, ""}), StartsWith(key + " contains a NUL byte"));
  EXPECT_THAT(Error({certificate_, key_, certificate}),
              StartsWith(certificate + " contains a NUL byte"));
}

TEST_F(TlsFilesTest, NameAFileWithATrustedCertificate) {
  const std::string trusted =
      absl::StrReplaceAll(SelfSigned().certificate, {{" CERT", " TRUSTED CERT"}});
  const std::string certificate = Write("trusted.crt", trusted + first_.certificate);
  const std::string key = Write("trusted.key", first_.key + trusted);
  const std::string error = " contains a -----BEGIN TRUSTED CERTIFICATE-----";
  EXPECT_THAT(Error({certificate, key_, ""}), StartsWith(certificate + error));
  EXPECT_THAT(Error({certificate_, key, ""}), StartsWith(key + error));
  EXPECT_THAT(Error({certificate_, key_, certificate}), StartsWith(certificate + error));
}

// What is said while the files change.
class RenewedTlsFilesTest : public TlsFilesTest {
 protected:
  RenewedTlsFilesTest() {
    const auto write = [this](const std::string& line) {
      std::lock_guard lock(mutex_);
      lines_.push_back(line);
    };
    auto opened = TlsFiles::Open({certificate_, key_, ""}, write, milliseconds(2));
    EXPECT_TRUE(opened.ok()) << opened.status();
    files_ = *opened;
  }

  ~RenewedTlsFilesTest() override { files_->LogTo(nullptr); }

  std::vector<std::string> Lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

  bool AwaitLines(std::size_t count) {
    return testkit::Eventually([&] { return Lines().size() >= count; });
  }

  void Replace(const std::string& path, const std::string& text) {
    ASSERT_EQ(rename(Write("new", text).c_str(), path.c_str()), 0);
  }

  // Says that the key, which comes first, is not the certificate's, and then that both are used.
  void Renew(const SelfSigned& other) {
    const std::size_t said = Lines().size();
    Replace(key_, other.key);
    ASSERT_TRUE(AwaitLines(said + 1));
    Replace(certificate_, other.certificate);
    ASSERT_TRUE(AwaitLines(said + 2));
  }

  std::shared_ptr<TlsFiles> files_;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
};

TEST_F(RenewedTlsFilesTest, AreUsedWhenBothAreThere) {
  const SelfSigned second({.ends = hours(24 * 30)});
  Replace(key_, second.key);
  EXPECT_EQ(files_->Latest()->certificate, first_.certificate);
  Replace(certificate_, second.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() == 2; }));
  EXPECT_EQ(files_->Latest()->certificate, second.certificate);
  EXPECT_EQ(files_->Latest()->key, second.key);
  // It may have said before that the key was not that of the certificate.
  EXPECT_TRUE(testkit::Eventually([this] {
    const std::vector<std::string> lines = Lines();
    return !lines.empty() &&
           lines.back().starts_with("TLS: the renewed " + certificate_ + " is used from now");
  }));
}

TEST_F(RenewedTlsFilesTest, WrongOnesAreReportedOnceAndNotUsed) {
  const SelfSigned expired({.begins = hours(-48), .ends = hours(-24)});
  Replace(certificate_, "garbage");
  ASSERT_TRUE(AwaitLines(1));
  Replace(certificate_, first_.key);
  ASSERT_TRUE(AwaitLines(2));
  Replace(certificate_, expired.certificate);
  ASSERT_TRUE(AwaitLines(3));
  Replace(key_, expired.key);
  ASSERT_TRUE(AwaitLines(4));
  EXPECT_EQ(files_->generation(), 1);
  EXPECT_EQ(files_->Latest()->certificate, first_.certificate);
  EXPECT_THAT(Lines(), ElementsAre(HasSubstr(" contains no certificate"), HasSubstr(" swapped?"),
                                   HasSubstr(" is not the key "), HasSubstr(" has expired on ")));
  EXPECT_THAT(Lines(), Each(EndsWith("; the previous files are used until it is right")));
}

TEST_F(RenewedTlsFilesTest, AreNotUsedWhileTheChainIsCutOff) {
  const SelfSigned second({.ends = hours(24 * 30)});
  Replace(key_, second.key);
  ASSERT_TRUE(AwaitLines(1));
  Replace(certificate_, second.certificate + first_.certificate.substr(0, 200));
  ASSERT_TRUE(AwaitLines(2));
  EXPECT_THAT(Lines().back(),
              AllOf(HasSubstr(certificate_ + " is cut off or damaged in its certificate 2: "),
                    EndsWith("; the previous files are used until it is right")));
  EXPECT_EQ(files_->generation(), 1);
  EXPECT_EQ(files_->Latest()->certificate, first_.certificate);
  Replace(certificate_, second.certificate + first_.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() == 2; }));
}

#ifndef OPENSSL_IS_BORINGSSL
TEST_F(RenewedTlsFilesTest, AreNotUsedWhenNoHandshakeSucceedsWithThem) {
  const SelfSigned weak({.key = SelfSigned::Key::kRsa1024});
  Replace(certificate_, first_.certificate + weak.certificate);
  ASSERT_TRUE(AwaitLines(1));
  EXPECT_THAT(Lines().back(), AllOf(HasSubstr(certificate_ + " cannot be used for TLS: "),
                                    EndsWith("; the previous files are used until it is right")));
  EXPECT_EQ(files_->generation(), 1);
}
#endif

TEST_F(RenewedTlsFilesTest, MayBeGoneForAWhile) {
  ASSERT_EQ(unlink(certificate_.c_str()), 0);
  ASSERT_TRUE(AwaitLines(1));
  EXPECT_THAT(Lines(), ElementsAre("TLS: cannot read " + certificate_ +
                                   ": No such file or directory; the previous files are used until "
                                   "it is right"));
  const SelfSigned second;
  Replace(key_, second.key);
  Replace(certificate_, second.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() == 2; }));
}

TEST_F(RenewedTlsFilesTest, AreNotRenewedByTheSameFiles) {
  // Gone, there again, gone: the second line proves that it has seen them in between.
  int looks = 0;
  ASSERT_TRUE(testkit::Eventually([&] {
    if (looks % 100 == 0) {
      EXPECT_EQ(unlink(certificate_.c_str()), 0);
    }
    if (looks % 100 == 50) Replace(certificate_, first_.certificate);
    ++looks;
    return Lines().size() >= 2;
  }));
  EXPECT_THAT(Lines(), Each(StartsWith("TLS: cannot read " + certificate_)));
  EXPECT_EQ(files_->generation(), 1);
}

TEST_F(RenewedTlsFilesTest, ReportDailyThatACertificateExpiresSoon) {
  Renew(SelfSigned({.begins = hours(-24 * 30), .ends = hours(24)}));
  ASSERT_TRUE(AwaitLines(3));
  Replace(key_, first_.key);  // Several looks later.
  ASSERT_TRUE(AwaitLines(4));
  EXPECT_THAT(
      Lines(),
      ElementsAre(HasSubstr(" is not the key of "), HasSubstr(" is used from now on, valid until "),
                  HasSubstr(certificate_ + " expires on "), HasSubstr(" is not the key of ")));
}

// Of a day: whoever renews it every 8 hours has nothing to be told of.
TEST_F(RenewedTlsFilesTest, ReportAShortLivedCertificateInItsLastFifth) {
  Renew(SelfSigned({.begins = hours(-17), .ends = hours(7)}));
  Replace(key_, first_.key);  // Several looks later.
  ASSERT_TRUE(AwaitLines(3));
  const SelfSigned old({.begins = hours(-20), .ends = hours(4)});
  Replace(key_, old.key);
  Replace(certificate_, old.certificate);
  ASSERT_TRUE(AwaitLines(5));
  EXPECT_THAT(
      Lines(),
      ElementsAre(HasSubstr(" is not the key of "), HasSubstr(" is used from now on, valid until "),
                  HasSubstr(" is not the key of "), HasSubstr(" is used from now on, valid until "),
                  HasSubstr(certificate_ + " expires on ")));
}

}  // namespace
}  // namespace rpc
