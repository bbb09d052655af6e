#include "service/rpc/tls/tls.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "grpc/grpc_security.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/backend_channel.h"
#include "service/rpc/connections/bound_sockets.h"
#include "service/rpc/connections/open_descriptors.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/self_signed.h"
#include "service/rpc/tls/tls_files.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;

// A server with TLS, whose files may be renewed.
class TlsTest : public ::testing::Test {
 protected:
  ~TlsTest() override {
    if (host_) host_->CloseListener();
  }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  // `ca`: who signs the callers' certificates; empty: they need none.
  void Serve(const std::string& ca = "", CallerCertificate caller = CallerCertificate::kRequired,
             milliseconds session_life = kSessionLife) {
    TlsFiles::Paths paths = {Write("certificate", server_.certificate), Write("key", server_.key)};
    if (!ca.empty()) paths.ca = Write("ca", ca);
    auto files = TlsFiles::Open(paths, nullptr, milliseconds(2));
    ASSERT_TRUE(files.ok()) << files.status();
    files_ = *files;
    const auto credentials = ServerTls(files_, caller, session_life);
    host_.emplace(
        ServerHost::Options{.address = "127.0.0.1:0,127.0.0.1:0", .credentials = credentials},
        std::vector<std::shared_ptr<grpc::Service>>{service_}, goodbye_);
    ASSERT_TRUE(host_->Start().ok());
    ASSERT_TRUE(host_->Open().ok());
  }

  void Renew(const SelfSigned& with) {
    const std::int64_t before = files_->generation();
    Write("key", with.key);
    Write("certificate", with.certificate);
    ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() > before; }));
  }

  // With a connection of its own. `shows`: the caller's certificate.
  std::unique_ptr<probe::Probe::Stub> NewCaller(const SelfSigned& trusts,
                                                const SelfSigned* shows = nullptr) {
    return probe::Probe::NewStub(NewConnection(host_->address(), trusts.Caller(shows)));
  }

  static grpc::StatusCode Call(probe::Probe::Stub& caller) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + testkit::kLong);
    probe::Note answer;
    return caller.Echo(&context, {}, &answer).error_code();
  }

  const testkit::TempDir directory_;
  const SelfSigned server_;
  const std::shared_ptr<ProbeService> service_ = std::make_shared<ProbeService>();
  GoodbyeSignal goodbye_;
  std::shared_ptr<TlsFiles> files_;
  std::optional<ServerHost> host_;
};

TEST_F(TlsTest, IsSpokenAndPlaintextIsNot) {
  Serve();
  RawPeer peer(host_->address(), {.tls = true});
  EXPECT_TRUE(peer.Await(RawPeer::kSettings).has_value());
  RawPeer plaintext(host_->address());
  EXPECT_TRUE(plaintext.AwaitEnd());
}

TEST_F(TlsTest, EachAddressHasOwnCredentialsAndDrains) {
  const testkit::TempDir sockets("/tmp");  // Short enough for a socket's name.
  const std::string path = sockets.File("socket");
  host_.emplace(ServerHost::Options{.address = "127.0.0.1:0",
                                    .credentials = server_.Server(),
                                    .more_endpoints = {{"unix:" + path}}},
                std::vector<std::shared_ptr<grpc::Service>>{service_}, goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  ASSERT_TRUE(host_->Open().ok());
  const auto hold = [](std::unique_ptr<probe::Probe::Stub> caller) {
    return std::async(std::launch::async, [caller = std::move(caller)] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + testkit::kLong);
      probe::Note answer;
      return caller->Hold(&context, {}, &answer).error_code();
    });
  };
  auto by_tls = hold(NewCaller(server_));
  auto by_file = hold(probe::Probe::NewStub(
      grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials())));
  ASSERT_TRUE(service_->AwaitHeld(2));
  EXPECT_TRUE(testkit::Eventually([&] { return host_->TryCallsRunning() == 2; }));
  host_->CloseListener();
  EXPECT_FALSE(std::filesystem::exists(path));
  service_->Release();
  EXPECT_EQ(by_tls.get(), grpc::OK);
  EXPECT_EQ(by_file.get(), grpc::OK);
  lifecycle::Patience patience(lifecycle::Clock::Steady(), testkit::kLong, {});
  host_->SayGoodbye(patience, 0);
  EXPECT_NE(host_->AwaitConnectionsGone(patience), lifecycle::Traffic::Departure::kBusy);
  host_->BeginShutdown();
  EXPECT_FALSE(host_->AwaitCallsFinished(patience).any());
  EXPECT_TRUE(host_->Cancel(patience));
}

// The addresses on which this process listens.
std::vector<std::string> ListeningAddresses() {
  std::vector<std::string> addresses;
  for (const int fd : OpenDescriptors()) {
    int listens = 0;
    socklen_t size = sizeof listens;
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    if (listens != 0) addresses.push_back(BoundAddress(fd));
  }
  return addresses;
}

TEST_F(TlsTest, ATakeoverKeepsTheCredentialsOfAnAddressNamedTwice) {
  const testkit::TempDir sockets("/tmp");  // Short enough for a socket's name.
  const ServerHost::Options options = {.address = "127.0.0.1:0",
                                       .credentials = server_.Server(),
                                       .more_endpoints = {{"127.0.0.1:0"}},
                                       .takeover = sockets.File("takeover")};
  ServerHost old(options, {std::make_shared<ProbeService>()}, goodbye_);
  ASSERT_TRUE(old.Start().ok());
  ASSERT_TRUE(old.Open().ok());
  std::vector<std::string> plaintext = ListeningAddresses();
  std::erase_if(plaintext, [&old](const std::string& each) {
    return each == old.address() || !absl::StartsWith(each, "127.");
  });
  ASSERT_EQ(plaintext.size(), 1u);
  host_.emplace(options, std::vector<std::shared_ptr<grpc::Service>>{service_}, goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  ASSERT_TRUE(host_->Open().ok());
  old.CloseListener();
  EXPECT_EQ(host_->address(), old.address());
  EXPECT_EQ(Call(*NewCaller(server_)), grpc::OK);
  EXPECT_EQ(Call(*probe::Probe::NewStub(NewConnection(plaintext[0]))), grpc::OK);
}

// gRPC has no record of a connection before that.
TEST_F(TlsTest, AHandshakeThatHasNotEndedIsWaitedFor) {
  Serve();
  RawConnection late(host_->address());
  ASSERT_TRUE(late.connected());
  host_->CloseListener();
  lifecycle::Patience patience(lifecycle::Clock::Steady(), testkit::kLong, {});
  host_->SayGoodbye(patience, 0);
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), lifecycle::Traffic::Departure::kSilent);
}

TEST_F(TlsTest, RenewalConcernsOnlyNewConnections) {
  Serve();
  const auto before = NewCaller(server_);
  EXPECT_EQ(Call(*before), grpc::StatusCode::OK);
  const SelfSigned renewed;
  Renew(renewed);
  EXPECT_EQ(Call(*NewCaller(renewed)), grpc::StatusCode::OK);
  EXPECT_EQ(Call(*NewCaller(server_)), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(*before), grpc::StatusCode::OK);
}

TEST_F(TlsTest, CallersMustShowACertificateOfTheCa) {
  const SelfSigned known({.names = "URI:spiffe://test/caller"});
  const SelfSigned stranger({.names = "URI:spiffe://test/caller"});
  Serve(known.certificate);
  EXPECT_EQ(Call(*NewCaller(server_, &known)), grpc::StatusCode::OK);
  EXPECT_EQ(Call(*NewCaller(server_)), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(*NewCaller(server_, &stranger)), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, OptionalMeansNoneOrARightOne) {
  const SelfSigned known({.names = "URI:spiffe://test/caller"});
  const SelfSigned stranger({.names = "URI:spiffe://test/caller"});
  Serve(known.certificate, CallerCertificate::kOptional);
  EXPECT_EQ(Call(*NewCaller(server_, &known)), grpc::StatusCode::OK);
  EXPECT_EQ(Call(*NewCaller(server_)), grpc::StatusCode::OK);
  EXPECT_EQ(Call(*NewCaller(server_, &stranger)), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, TheCaOfCallersIsRenewedToo) {
  const SelfSigned first({.names = "URI:spiffe://test/caller"});
  const SelfSigned second({.names = "URI:spiffe://test/caller"});
  Serve(first.certificate);
  EXPECT_EQ(Call(*NewCaller(server_, &second)), grpc::StatusCode::UNAVAILABLE);
  Write("ca", first.certificate + second.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() == 2; }));
  EXPECT_EQ(Call(*NewCaller(server_, &second)), grpc::StatusCode::OK);
  EXPECT_EQ(Call(*NewCaller(server_, &first)), grpc::StatusCode::OK);
}

// Of two connections of one caller, the second one.
class SessionTest : public TlsTest {
 protected:
  ~SessionTest() override { grpc_ssl_session_cache_destroy(sessions_); }

  bool SecondIsResumed() {
    Reused();
    return Reused();
  }

  const SelfSigned caller_{{.names = "URI:spiffe://test/caller"}};

 private:
  bool Reused() {
    const grpc_arg sessions = grpc_ssl_session_cache_create_channel_arg(sessions_);
    grpc::ChannelArguments arguments;
    arguments.SetPointerWithVtable(sessions.key, sessions.value.pointer.p,
                                   sessions.value.pointer.vtable);
    const auto stub =
        probe::Probe::NewStub(NewConnection(host_->address(), server_.Caller(&caller_), arguments));
    const auto context = Bounded();
    probe::Note answer;
    EXPECT_TRUE(stub->Echo(context.get(), {}, &answer).ok());
    const auto reused = context->auth_context()->FindPropertyValues("ssl_session_reused");
    return !reused.empty() && reused.front() == "true";
  }

  grpc_ssl_session_cache* const sessions_ = grpc_ssl_session_cache_create_lru(16);
};

TEST_F(SessionTest, IsResumedWhileItsKeysAreNew) {
  Serve(caller_.certificate, CallerCertificate::kRequired, std::chrono::hours(1));
  EXPECT_TRUE(SecondIsResumed());
}

TEST_F(SessionTest, ThatIsOldIsNotResumed) {
  if (!kSessionsEnd) GTEST_SKIP() << "of gRPC 1.51 alone";
  Serve(caller_.certificate, CallerCertificate::kRequired, milliseconds(0));
  EXPECT_FALSE(SecondIsResumed());
}

TEST_F(SessionTest, OfACallerWithoutACertificateMayBeOld) {
  Serve("", CallerCertificate::kRequired, milliseconds(0));
  EXPECT_TRUE(SecondIsResumed());
}

TEST_F(TlsTest, ABackendIsCalledWithTheRenewedCertificates) {
  const SelfSigned first({.names = "URI:spiffe://test/front"});
  const SelfSigned second({.names = "URI:spiffe://test/front"});
  Serve(first.certificate);
  const TlsFiles::Paths paths = {Write("own", first.certificate), Write("own key", first.key),
                                 Write("backends", server_.certificate)};
  auto files = TlsFiles::Open(paths, nullptr, milliseconds(2));
  ASSERT_TRUE(files.ok()) << files.status();
  BackendChannel backend({.target = host_->address(),
                          .service = "probe.Probe",
                          .tls = *files,
                          .tls_server_name = "localhost",
                          .timeout = testkit::kLong});
  const auto call = [&backend] {
    probe::Note note;
    return probe::Probe::NewStub(backend.channel())
        ->Echo(backend.NewContext().get(), note, &note)
        .error_code();
  };
  EXPECT_EQ(call(), grpc::StatusCode::OK);
  // A call that outlasts the renewal.
  const auto held_by = probe::Probe::NewStub(backend.channel());
  const auto context = backend.NewContext();
  probe::Note note;
  std::promise<grpc::StatusCode> held;
  held_by->async()->Hold(context.get(), &note, &note, [&held](const grpc::Status& status) {
    held.set_value(status.error_code());
  });
  ASSERT_TRUE(service_->AwaitHeld(1));
  Write("ca", second.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return files_->generation() == 2; }));
  Write("own key", second.key);
  Write("own", second.certificate);
  ASSERT_TRUE(testkit::Eventually([&] { return (*files)->generation() == 2; }));
  EXPECT_EQ(call(), grpc::StatusCode::OK);
  service_->Release();
  EXPECT_EQ(held.get_future().get(), grpc::StatusCode::OK);
}

TEST_F(TlsTest, OlderThan12IsRefused) {
  Serve();
  RawPeer oldest(host_->address(), {.tls = true, .max_tls_version = TLS1_2_VERSION});
  EXPECT_TRUE(oldest.Await(RawPeer::kSettings).has_value());
  RawPeer old(host_->address(), {.tls = true, .max_tls_version = TLS1_1_VERSION});
  EXPECT_FALSE(old.Await(RawPeer::kSettings).has_value());
}

}  // namespace
}  // namespace rpc
