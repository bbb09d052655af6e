// The certificate of a server that is busy is renewed again and again, by a tool that replaces one
// file after the other, and now and then leaves something wrong behind. No call fails.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

int Rotations() {
  const char* const wanted = std::getenv("ROTATIONS");
  return wanted == nullptr ? 3 : std::atoi(wanted);
}

// A thread that calls in a loop, until the first call that fails; every few calls over a new
// connection. It retries nothing.
class Caller {
 public:
  Caller(std::string address, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : address_(std::move(address)), credentials_(std::move(credentials)), thread_([this] {
          while (!stop_) CallOverOneConnection();
        }) {}
  ~Caller() { Stop(); }

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  int answered() const { return answered_; }
  // Requires: Stop().
  const std::vector<std::string>& failed() const { return failed_; }

 private:
  void CallOverOneConnection() {
    const auto stub = bench::Bench::NewStub(rpc::NewConnection(address_, credentials_));
    for (int i = 0; i < 20 && !stop_; ++i) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + testkit::kLong);
      bench::EchoReply reply;
      const grpc::Status status = stub->Echo(&context, {}, &reply);
      if (status.ok()) {
        ++answered_;
      } else {
        failed_.push_back(status.error_message());
        stop_ = true;
      }
    }
  }

  const std::string address_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::atomic<bool> stop_{false};
  std::atomic<int> answered_{0};
  std::vector<std::string> failed_;  // The thread's own while it runs; one at most.
  std::thread thread_;
};

class TlsRotationTest : public ServerUnderTest {
 protected:
  TlsRotationTest() {
    for (int i = 0; i <= Rotations(); ++i) {
      identities_.emplace_back(rpc::SelfSigned::Options{.ends = std::chrono::hours(24 * 30)});
      trusted_.pem_root_certs += identities_.back().certificate;
    }
  }

  void Replace(const std::string& name, const std::string& text) const {
    const std::string fresh = directory_.File("new");
    std::ofstream(fresh) << text;
    ASSERT_EQ(std::rename(fresh.c_str(), directory_.File(name).c_str()), 0);
  }

  void Serve() {
    Replace("certificate", identities_[0].certificate);
    Replace("key", identities_[0].key);
    std::vector<std::string> flags = kAllTheTime;
    flags.push_back("--tls_certificate=" + directory_.File("certificate"));
    flags.push_back("--tls_key=" + directory_.File("key"));
    Start("tests/servers/echo/echo_server", flags);
  }

  std::size_t Lines(const std::string& with) {
    const std::string output = Output();
    std::size_t lines = 0;
    for (std::size_t at = output.find(with); at != std::string::npos;
         at = output.find(with, at + 1)) {
      ++lines;
    }
    return lines;
  }

  const testkit::TempDir directory_;
  std::vector<rpc::SelfSigned> identities_;
  grpc::SslCredentialsOptions trusted_;
};

TEST_F(TlsRotationTest, LosesNoCall) {
  Serve();
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 3; ++i) {
    callers.push_back(std::make_unique<Caller>(address(), grpc::SslCredentials(trusted_)));
  }
  for (std::size_t i = 1; i < identities_.size(); ++i) {
    const int before = callers.front()->answered();
    Replace("key", identities_[i].key);
    Replace("certificate", identities_[i].certificate);
    ASSERT_TRUE(testkit::Eventually([&] { return Lines(" is used from now on") == i; }))
        << Output();
    ASSERT_TRUE(testkit::Eventually([&] { return callers.front()->answered() > before + 40; }));
  }
  int answered = 0;
  for (const auto& caller : callers) {
    caller->Stop();
    answered += caller->answered();
    EXPECT_THAT(caller->failed(), IsEmpty());
  }
  std::printf("%d calls over %d rotations\n", answered, Rotations());
}

TEST_F(TlsRotationTest, ToSomethingWrongKeepsTheOldOne) {
  Serve();
  Caller caller(address(), grpc::SslCredentials(trusted_));
  Replace("certificate", identities_[1].certificate);
  ASSERT_TRUE(process().AwaitOutput(" W echo: TLS: ", kLimit)) << Output();
  const int before = caller.answered();
  ASSERT_TRUE(testkit::Eventually([&] { return caller.answered() > before + 40; }));
  caller.Stop();
  EXPECT_THAT(caller.failed(), IsEmpty());
  EXPECT_THAT(Output(), HasSubstr("/key is not the key of the certificate in "));
  EXPECT_EQ(Lines("TLS: "), 1U);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), testkit::Ending::Exited(0));
}

}  // namespace
}  // namespace process_test
