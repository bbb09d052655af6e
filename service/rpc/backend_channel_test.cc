#include "service/rpc/backend_channel.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/channelz/connections.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/self_signed.h"
#include "service/rpc/tls/tls_files.h"
#include "tests/common/eventually.h"
#include "tests/common/reserved_port.h"
#include "tests/common/slow_link.h"
#include "tests/common/temp_dir.h"

namespace {

// "moving.test" is there, on this port of this host. 0: it cannot be found.
std::atomic<int> moving_port{0};

// gRPC asks this function, and no server, in a way that is the same everywhere.
[[maybe_unused]] const int native_dns = setenv("GRPC_DNS_RESOLVER", "native", 1);

}  // namespace

// In the place of the system's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  static const auto system =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (node == nullptr || std::string_view(node) != "moving.test") {
    return system(node, service, hints, result);
  }
  if (moving_port == 0) return EAI_NONAME;
  return system("127.0.0.1", std::to_string(moving_port).c_str(), hints, result);
}

namespace rpc {
namespace {

using ::lifecycle::Clock;
using ::probe::Note;
using ::probe::Probe;
using ::std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testkit::Soon;

Clock::TimePoint Past() { return Clock::Steady().Now() - std::chrono::seconds(1); }

// A server that runs until it is destroyed.
class Server {
 public:
  explicit Server(grpc::Service& service, const std::string& address = "127.0.0.1:0") {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service);
    server_ = Connections::BuildAndStart(builder, connections_);
  }
  ~Server() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  const Connections& connections() const { return connections_; }

 private:
  int port_ = 0;
  Connections connections_;
  std::unique_ptr<grpc::Server> server_;
};

// Fails with `code` so often, and answers then.
class Flaky final : public Probe::CallbackService {
 public:
  Flaky(int failures, grpc::StatusCode code) : failures_(failures), code_(code) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(++calls_ <= failures_ ? grpc::Status(code_, "not now") : grpc::Status::OK);
    return reactor;
  }

  int calls() const { return calls_; }

 private:
  const int failures_;
  const grpc::StatusCode code_;
  std::atomic<int> calls_ = 0;
};

BackendChannel::Options To(const Server& server, milliseconds timeout = milliseconds(45000)) {
  return {.target = server.address(), .service = "probe.Probe", .timeout = timeout};
}

grpc::Status Echo(const BackendChannel& backend) {
  Note note;
  return Probe::NewStub(backend.channel())->Echo(backend.NewContext().get(), note, &note);
}

TEST(BackendChannel, TakesTheLongestTimeoutForNone) {
  ProbeService service;
  const Server server(service);
  BackendChannel backend(To(server, milliseconds::max()));
  const grpc::Status answer = Echo(backend);
  EXPECT_TRUE(answer.ok()) << answer.error_message();
  const absl::Status closed = backend.Close(Clock::TimePoint::max());
  EXPECT_TRUE(closed.ok()) << closed;
}

TEST(BackendChannel, TriesAgainWhenTheBackendIsUnavailable) {
  Flaky flaky(2, grpc::UNAVAILABLE);
  const Server server(flaky);
  BackendChannel backend(To(server));
  EXPECT_TRUE(Echo(backend).ok());
  EXPECT_EQ(flaky.calls(), 3);
}

TEST(BackendChannel, GivesUpAfterTheFourthAttempt) {
  Flaky flaky(100, grpc::UNAVAILABLE);
  const Server server(flaky);
  BackendChannel backend(To(server));
  EXPECT_EQ(Echo(backend).error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(flaky.calls(), 4);
}

TEST(BackendChannel, AsksOnceWhereItMustNotAskTwice) {
  Flaky flaky(100, grpc::UNAVAILABLE);
  const Server server(flaky);
  BackendChannel::Options options = To(server);
  options.retry = false;
  BackendChannel backend(options);
  EXPECT_EQ(Echo(backend).error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(flaky.calls(), 1);
}

TEST(BackendChannel, DoesNotRetryOtherFailures) {
  Flaky flaky(100, grpc::FAILED_PRECONDITION);
  const Server server(flaky);
  BackendChannel backend(To(server));
  EXPECT_EQ(Echo(backend).error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(flaky.calls(), 1);
}

// gRPC alone asks again after half a minute.
TEST(BackendChannel, FindsABackendAgainUnderAnotherAddress) {
  ProbeService probe;
  auto first = std::make_optional<Server>(probe);
  moving_port = first->port();
  BackendChannel backend({.target = "moving.test:50051",
                          .service = "probe.Probe",
                          .timeout = std::chrono::minutes(1)});
  ASSERT_TRUE(Echo(backend).ok());
  const Server second(probe);
  moving_port = second.port();
  first.reset();
  // Each attempt fails at once while the address is the old one.
  const Clock::TimePoint limit = Clock::Steady().Now() + std::chrono::seconds(15);
  bool found = false;
  while (!found && Clock::Steady().Now() < limit) found = Echo(backend).ok();
  EXPECT_TRUE(found);
}

// As TLS to another continent does, or a backend that has just been started on a busy machine.
TEST(BackendChannel, WaitsForAConnectionBeyondASecond) {
  ProbeService probe;
  const Server server(probe);
  testkit::SlowLink link(server.address(), {.delay = milliseconds(1100)});
  BackendChannel backend(
      {.target = link.address(), .service = "probe.Probe", .timeout = std::chrono::minutes(1)});
  EXPECT_TRUE(Echo(backend).ok());
}

TEST(BackendChannel, LetsNoCallTakeLongerThanItsTimeout) {
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server, milliseconds(100)));
  Note note;
  EXPECT_EQ(
      Probe::NewStub(backend.channel())->Hold(backend.NewContext().get(), note, &note).error_code(),
      grpc::DEADLINE_EXCEEDED);
}

TEST(BackendChannel, ReportsWhetherTheBackendIsReachable) {
  ProbeService probe;
  const testkit::ReservedPort port;
  auto server = std::make_optional<Server>(probe, port.address());
  BackendChannel backend(To(*server));
  EXPECT_TRUE(backend.AwaitConnected(Soon()));
  server.reset();
  EXPECT_EQ(Echo(backend).error_code(), grpc::UNAVAILABLE);
  EXPECT_FALSE(backend.AwaitConnected(Clock::Steady().Now() + milliseconds(50)));
  server.emplace(probe, port.address());
  EXPECT_TRUE(backend.AwaitConnected(Soon()));
  EXPECT_TRUE(Echo(backend).ok());
}

// Calls of Hold() that nobody waits for, as services make them.
class HeldCalls {
 public:
  HeldCalls(const BackendChannel& backend, int count) : backend_(backend), left_(count) {
    for (int i = 0; i < count; ++i) Begin();
  }
  ~HeldCalls() { AwaitEnded(); }

  // How each has ended.
  std::vector<grpc::StatusCode> AwaitEnded() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return left_ == 0; });
    return ended_;
  }

 private:
  struct Call {
    std::shared_ptr<grpc::ClientContext> context;
    std::unique_ptr<Probe::Stub> stub;
    Note note;
  };

  void Begin() {
    auto call = std::make_shared<Call>();
    call->context = backend_.NewContext();
    call->stub = Probe::NewStub(backend_.channel());
    call->stub->async()->Hold(call->context.get(), &call->note, &call->note,
                              [this, call](const grpc::Status& status) {
                                // Perhaps in the middle of being cancelled.
                                call->context.reset();
                                call->stub.reset();
                                std::lock_guard lock(mutex_);
                                ended_.push_back(status.error_code());
                                --left_;
                                changed_.notify_all();
                              });
  }

  const BackendChannel& backend_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int left_;                             // Guarded by mutex_.
  std::vector<grpc::StatusCode> ended_;  // Guarded by mutex_.
};

// A service that asks the backend on behalf of its caller, and says how that ended.
class Front final : public Probe::CallbackService {
 public:
  explicit Front(const BackendChannel& backend) : backend_(backend) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    context_ = backend_.NewContext(*context);
    stub_ = Probe::NewStub(backend_.channel());
    stub_->async()->Hold(context_.get(), &note_, &note_,
                         [this, reactor](const grpc::Status& status) {
                           ended_.set_value(status);
                           reactor->Finish(status);
                         });
    return reactor;
  }

  std::future<grpc::Status> AwaitEnded() { return ended_.get_future(); }

  // For another call.
  void Renew() { ended_ = {}; }

  // What keeps the channel alive.
  void Drop() {
    context_.reset();
    stub_.reset();
  }

 private:
  const BackendChannel& backend_;
  Note note_;
  std::shared_ptr<grpc::ClientContext> context_;
  std::unique_ptr<Probe::Stub> stub_;
  std::promise<grpc::Status> ended_;
};

class BackendChannelOnBehalf : public ::testing::Test {
 protected:
  ProbeService probe_;
  const Server backend_server_{probe_};
  std::stop_source answer_now_;
  BackendChannel backend_{{.target = backend_server_.address(),
                           .service = "probe.Probe",
                           .timeout = milliseconds(45000),
                           .answer_now = answer_now_.get_token()}};
  Front front_{backend_};
  const Server front_server_{front_};
};

TEST_F(BackendChannelOnBehalf, PassesTheCallersCancellationOn) {
  const std::unique_ptr<grpc::ClientContext> context = Bounded();
  std::future<grpc::Status> call = std::async(std::launch::async, [&] {
    Note note;
    return Probe::NewStub(NewConnection(front_server_.address()))->Echo(context.get(), note, &note);
  });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  context->TryCancel();
  EXPECT_EQ(front_.AwaitEnded().get().error_code(), grpc::CANCELLED);
  EXPECT_EQ(call.get().error_code(), grpc::CANCELLED);
}

TEST_F(BackendChannelOnBehalf, PassesTheCallersDeadlineOn) {
  const auto channel = NewConnection(front_server_.address());
  ASSERT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + testkit::kLong));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  Note note;
  EXPECT_EQ(Probe::NewStub(channel)->Echo(&context, note, &note).error_code(),
            grpc::DEADLINE_EXCEEDED);
  std::future<grpc::Status> status = front_.AwaitEnded();
  ASSERT_EQ(status.wait_for(testkit::kLong), std::future_status::ready) << "it began too late";
  // Cancelled, when the caller's side was quicker than the clock.
  const grpc::StatusCode ended = status.get().error_code();
  EXPECT_TRUE(ended == grpc::DEADLINE_EXCEEDED || ended == grpc::CANCELLED) << ended;
}

TEST_F(BackendChannelOnBehalf, GivesUpInTimeToAnswerItsCaller) {
  const auto call = [this] {
    Note note;
    return Probe::NewStub(NewConnection(front_server_.address()))
        ->Echo(Bounded().get(), note, &note);
  };
  std::future<grpc::Status> running = std::async(std::launch::async, call);
  HeldCalls nobodys(backend_, 1);
  ASSERT_TRUE(probe_.AwaitHeld(2));
  answer_now_.request_stop();
  EXPECT_EQ(running.get().error_code(), grpc::CANCELLED) << "as the front handed it on";
  front_.Renew();
  EXPECT_EQ(call().error_code(), grpc::CANCELLED) << "one that begins later";
  probe_.Release();
  EXPECT_THAT(nobodys.AwaitEnded(), ElementsAre(grpc::OK));
}

TEST_F(BackendChannelOnBehalf, AnswersWhenTheBackendDoes) {
  std::future<grpc::Status> call = std::async(std::launch::async, [&] {
    Note note;
    return Probe::NewStub(NewConnection(front_server_.address()))
        ->Echo(Bounded().get(), note, &note);
  });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  probe_.Release();
  EXPECT_TRUE(front_.AwaitEnded().get().ok());
  EXPECT_TRUE(call.get().ok());
  // A call that has ended holds the channel as well, until its context is dropped.
  EXPECT_TRUE(absl::IsDeadlineExceeded(backend_.Close(Past())));
  front_.Drop();
  EXPECT_TRUE(backend_.Close(Soon()).ok());
}

TEST(BackendChannelClose, ReportsWhetherAStubStillHoldsIt) {
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server));
  std::unique_ptr<Probe::Stub> stub = Probe::NewStub(backend.channel());
  EXPECT_TRUE(Echo(backend).ok());
  EXPECT_TRUE(server.connections().Any());
  for (int i = 0; i < 2; ++i) {
    const absl::Status closed = backend.Close(Past());
    EXPECT_TRUE(absl::IsDeadlineExceeded(closed)) << closed;
    EXPECT_THAT(std::string(closed.message()),
                AllOf(HasSubstr("a stub"), HasSubstr(server.address())));
  }
  EXPECT_EQ(backend.channel(), nullptr);
  EXPECT_TRUE(server.connections().Any());
  stub.reset();
  EXPECT_TRUE(backend.Close(Soon()).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return !server.connections().Any(); }));
  EXPECT_TRUE(backend.Close(Past()).ok());
}

TEST(BackendChannelClose, WaitsForTheLastHolder) {
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server));
  std::unique_ptr<Probe::Stub> stub = Probe::NewStub(backend.channel());
  std::future<absl::Status> closed =
      std::async(std::launch::async, [&] { return backend.Close(Soon()); });
  EXPECT_TRUE(testkit::Eventually([&] { return backend.channel() == nullptr; }));
  stub.reset();
  EXPECT_TRUE(closed.get().ok());
}

TEST(BackendChannelClose, WaitsForAContextWhoseCallNeverBegins) {
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server));
  std::shared_ptr<grpc::ClientContext> context = backend.NewContext();
  EXPECT_TRUE(absl::IsDeadlineExceeded(backend.Close(Past())));
  context.reset();
  EXPECT_TRUE(backend.Close(Soon()).ok());
}

TEST(BackendChannelClose, CancelsEveryCallAndLeavesNoSocket) {
  constexpr int kCalls = 500;
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server));
  HeldCalls calls(backend, kCalls);
  ASSERT_TRUE(probe.AwaitHeld(kCalls));
  const absl::Status closed = backend.Close(Soon());
  EXPECT_TRUE(closed.ok()) << closed;
  EXPECT_THAT(calls.AwaitEnded(), AllOf(SizeIs(kCalls), Each(grpc::CANCELLED)));
  EXPECT_TRUE(testkit::Eventually([&] { return !server.connections().Any(); }));
}

TEST(BackendChannelClose, CancelsCallsThatEndAtThatInstant) {
  for (int round = 0; round < 50; ++round) {
    ProbeService probe;
    const Server server(probe);
    BackendChannel backend(To(server));
    HeldCalls calls(backend, 20);
    ASSERT_TRUE(probe.AwaitHeld(20));
    std::thread releasing([&] { probe.Release(); });
    EXPECT_TRUE(backend.Close(Soon()).ok());
    releasing.join();
    EXPECT_THAT(calls.AwaitEnded(), Each(AnyOf(grpc::OK, grpc::CANCELLED)));
  }
}

TEST(BackendChannelClose, CancelsACallThatBeginsOnlyThen) {
  ProbeService probe;
  const Server server(probe);
  BackendChannel backend(To(server));
  std::unique_ptr<Probe::Stub> stub = Probe::NewStub(backend.channel());
  std::shared_ptr<grpc::ClientContext> before = backend.NewContext();
  EXPECT_TRUE(absl::IsDeadlineExceeded(backend.Close(Past())));
  Note note;
  EXPECT_EQ(stub->Hold(before.get(), note, &note).error_code(), grpc::CANCELLED);
  EXPECT_EQ(stub->Hold(backend.NewContext().get(), note, &note).error_code(), grpc::CANCELLED);
  before.reset();
  stub.reset();
  EXPECT_TRUE(backend.Close(Soon()).ok());
}

// A backend that wants an answer to more and more PINGs, and reads none.
class RudeBackend {
 public:
  // `tls`: the backend's certificate; null: plaintext.
  explicit RudeBackend(const SelfSigned* tls = nullptr) {
    EXPECT_TRUE(listener_->Listen().ok());
    listener_->Start([this, tls](int, int fd) {
      connection_.reset(BIO_new_socket(fd, BIO_NOCLOSE));
      if (tls != nullptr) BeginTls(*tls, fd);
      constexpr char kSettings = 4;
      const std::string hello = Http2Frame(kSettings, 0, 0, "");
      EXPECT_EQ(Write(hello, 0), static_cast<int>(hello.size()));
      fd_ = fd;
    });
  }
  ~RudeBackend() {
    listener_->Close();
    End();
  }

  std::string address() const { return listener_->address(); }

  // Until nothing more goes through the connection of `channel`, either way: gRPC has an answer to
  // write, and cannot. False: it took too long.
  bool Flood(grpc::Channel& channel) {
    constexpr char kPing = 6;
    const std::string ping = Http2Frame(kPing, 0, 0, "12345678");
    std::string pings;
    while (pings.size() < (64 << 10)) pings += ping;
    std::size_t sent = 0;  // Of `pings`, so that every frame is sent whole.
    int looks = 0;         // Since something went through.
    return testkit::Eventually([&] {
      if (fd_ < 0) return false;  // It has not said hello yet.
      // Without a call, gRPC looks at a connection every few seconds, unless somebody waits for it.
      channel.WaitForStateChange(GRPC_CHANNEL_READY,
                                 std::chrono::system_clock::now() + milliseconds(1));
      for (int more = 0; (more = Write(pings, sent)) > 0; looks = 0) {
        sent = (sent + static_cast<std::size_t>(more)) % pings.size();
      }
      looks = Writable(fd_) || Writable(PeerOf(fd_)) ? 0 : looks + 1;
      return looks == 20;
    });
  }

  void End() {
    if (fd_ >= 0) close(fd_.exchange(-1));
  }

 private:
  // Reads what belongs to the handshake, and never again.
  void BeginTls(const SelfSigned& with, int fd) {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    const auto parsed = [](const std::string& pem, auto* read) {
      const std::unique_ptr<BIO, int (*)(BIO*)> memory(
          BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
      return read(memory.get(), nullptr, nullptr, nullptr);
    };
    X509* const certificate = parsed(with.certificate, PEM_read_bio_X509);
    EVP_PKEY* const key = parsed(with.key, PEM_read_bio_PrivateKey);
    SSL_CTX_use_certificate(context, certificate);
    SSL_CTX_use_PrivateKey(context, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_alpn_select_cb(
        context,
        [](SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char*, unsigned,
           void*) {
          *chosen = reinterpret_cast<const unsigned char*>("h2");
          *size = 2;
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    SSL* const ssl = SSL_new(context);
    SSL_CTX_free(context);
    SSL_set_accept_state(ssl);
    BIO* const tcp = connection_.release();
    SSL_set_bio(ssl, tcp, tcp);
    connection_.reset(BIO_new(BIO_f_ssl()));
    BIO_set_ssl(connection_.get(), ssl, BIO_CLOSE);
    while (BIO_do_handshake(connection_.get()) != 1) {
      pollfd readable = {fd, POLLIN, 0};
      if (!BIO_should_retry(connection_.get()) || poll(&readable, 1, 45000) != 1) return;
    }
  }

  // From that byte on. The count of those that went through, or something less than 1.
  int Write(const std::string& bytes, std::size_t from) {
    return BIO_write(connection_.get(), bytes.data() + from, static_cast<int>(bytes.size() - from));
  }

  static bool Writable(int fd) {
    pollfd one = {fd, POLLOUT, 0};
    return poll(&one, 1, 0) == 1;
  }

  // The other end, which is in this process, too.
  static int PeerOf(int fd) {
    for (int other = 3; other < 1024; ++other) {
      if (PortOf(other, getsockname) == PortOf(fd, getpeername)) return other;
    }
    ADD_FAILURE() << "nobody is connected";
    return -1;
  }

  static int PortOf(int fd, int (*name_of)(int, sockaddr*, socklen_t*)) {
    sockaddr_in6 name{};  // An IPv4 address has its port in the same place.
    socklen_t size = sizeof name;
    return name_of(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 ? name.sin6_port : -1;
  }

  std::unique_ptr<BIO, void (*)(BIO*)> connection_{nullptr, BIO_free_all};
  std::unique_ptr<Listener> listener_ = *Listener::Bind("127.0.0.1:0");
  std::atomic<int> fd_ = -1;  // Set when the connection may be used by another thread.
};

TEST(BackendChannelClose, ReportsTheSocketOfAnUnreadingBackend) {
  RudeBackend rude;
  BackendChannel backend({.target = rude.address(), .service = "probe.Probe"});
  ASSERT_TRUE(backend.AwaitConnected(Soon()));
  ASSERT_TRUE(rude.Flood(*backend.channel()));
  for (int i = 0; i < 2; ++i) {
    const absl::Status closed = backend.Close(Past());
    EXPECT_TRUE(absl::IsDeadlineExceeded(closed)) << closed;
    EXPECT_THAT(std::string(closed.message()),
                AllOf(HasSubstr("1 socket"), HasSubstr(rude.address())));
  }
  rude.End();
  EXPECT_TRUE(backend.Close(Soon()).ok());
}

TEST(BackendChannelClose, ReportsSuchASocketAfterARenewalToo) {
  const SelfSigned certificate;
  const testkit::TempDir directory;
  const std::string path = directory.File("ca");
  std::ofstream(path) << certificate.certificate;
  const auto files = TlsFiles::Open({.ca = path}, nullptr, milliseconds(2));
  ASSERT_TRUE(files.ok()) << files.status();
  RudeBackend rude(&certificate);
  BackendChannel backend({.target = rude.address(),
                          .service = "probe.Probe",
                          .tls = *files,
                          .tls_server_name = "localhost"});
  ASSERT_TRUE(backend.AwaitConnected(Soon()));
  ASSERT_TRUE(rude.Flood(*backend.channel()));
  std::ofstream(path) << certificate.certificate << SelfSigned().certificate;
  ASSERT_TRUE(testkit::Eventually([&] { return (*files)->generation() == 2; }));
  // The first replaces the channel, the second finds that nobody holds the old one.
  for (int i = 0; i < 2; ++i) EXPECT_NE(backend.channel(), nullptr);
  const absl::Status closed = backend.Close(Past());
  EXPECT_TRUE(absl::IsDeadlineExceeded(closed)) << closed;
  EXPECT_THAT(std::string(closed.message()), HasSubstr("1 socket"));
  rude.End();
  EXPECT_TRUE(backend.Close(Soon()).ok());
}

TEST(BackendChannelClose, NeedsNoBackend) {
  BackendChannel backend({.target = "127.0.0.1:1", .service = "probe.Probe"});
  EXPECT_TRUE(backend.Close(Soon()).ok());
  EXPECT_FALSE(backend.AwaitConnected(Soon())) << "closed";
}

}  // namespace
}  // namespace rpc
