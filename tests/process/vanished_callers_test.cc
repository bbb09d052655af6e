// Callers whose machine has vanished: no packet comes from them any more, none reaches
// them, and nobody says so. What is sent to them is neither taken nor refused.
//
// The test gets a network of its own, with nothing in it but loopback, which it then
// switches off under both.
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/own_namespace.h"
#include "tests/common/temp_dir.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.pb.h"

namespace process_test {
namespace {

using ::testing::Contains;
using testkit::Ending;

std::string no_network;  // Why there is none to be had.

bool SwitchLoopback(bool on) {
  const int any_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  bool done = ioctl(any_socket, SIOCGIFFLAGS, &request) == 0;
  if (on) {
    request.ifr_flags |= IFF_UP;
  } else {
    request.ifr_flags &= ~IFF_UP;
  }
  done = done && ioctl(any_socket, SIOCSIFFLAGS, &request) == 0;
  close(any_socket);
  return done;
}

// From now on the kernel drops every packet for this socket, acknowledgements included.
void LetNothingArrive(int fd) {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{.len = 1, .filter = &drop};
  ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0)
      << std::strerror(errno);
}

// How TLS begins.
std::string ClientHello() {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  const std::unique_ptr<SSL, void (*)(SSL*)> session(SSL_new(context.get()), SSL_free);
  SSL_set_bio(session.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  // gRPC's curve (ssl_transport_security.cc): the server answers with its certificate at once.
  SSL_set1_groups_list(session.get(), "P-256");
  SSL_connect(session.get());
  std::string hello(4096, '\0');
  hello.resize(std::max(BIO_read(SSL_get_wbio(session.get()), hello.data(), 4096), 0));
  return hello;
}

class VanishedCallersTest : public ServerUnderTest {
 protected:
  // Less than the 20 s for which gRPC by itself waits for such connections when it
  // shuts down.
  static constexpr std::chrono::seconds kLimit{18};

  void SetUp() override {
    if (!no_network.empty()) {
      GTEST_SKIP()
          << no_network
          << ". It would have shown that a shutdown waits for no caller whose machine is gone.";
    }
    ASSERT_TRUE(SwitchLoopback(true)) << std::strerror(errno);
  }

  void Start(const std::vector<std::string>& flags) {
    ServerUnderTest::Start("tests/servers/echo/echo_server", flags);
  }

  std::unique_ptr<OpenStream> Watch(const bench::WatchRequest& request) {
    auto watch = Open("/bench.Bench/Watch", request.SerializeAsString());
    EXPECT_TRUE(watch->Read().has_value());
    return watch;
  }

  int Port() { return std::stoi(address().substr(address().rfind(':') + 1)); }

  // Whether callers' kernels have all that the server has sent (proc(5), /proc/net/tcp).
  bool AllIsAcknowledged() {
    std::ifstream sockets("/proc/net/tcp");
    for (std::string line; std::getline(sockets, line);) {
      std::istringstream words(line);
      std::string number, local, remote, state, queues;
      words >> number >> local >> remote >> state >> queues;
      if (local.ends_with(absl::StrFormat(":%04X", Port())) && !queues.starts_with("00000000:")) {
        return false;
      }
    }
    return true;
  }

  int Connect() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(Port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return -1;
    return fd;
  }

  Ending Stop() {
    process().Signal(SIGTERM);
    return testkit::AwaitShutdown(process(), kLimit);
  }
};

TEST_F(VanishedCallersTest, AreNotWaitedForWhenTheyAreIdle) {
  Start(kAllTheTime);
  bench::EchoReply reply;
  const auto stub = bench::Bench::NewStub(channel_);
  ASSERT_TRUE(stub->Echo(rpc::Bounded().get(), {}, &reply).ok());
  ASSERT_TRUE(testkit::Eventually([this] { return AllIsAcknowledged(); }));
  ASSERT_TRUE(SwitchLoopback(false)) << std::strerror(errno);
  EXPECT_EQ(Stop(), Ending::Exited(0)) << Output();
}

TEST_F(VanishedCallersTest, AreCutWhenTheirGoodbyeDoesNotLeave) {
  Start(kAllTheTime);
  bench::WatchRequest request;
  request.set_interval_ms(3'600'000);
  const auto watch = Watch(request);
  ASSERT_TRUE(SwitchLoopback(false)) << std::strerror(errno);
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "answers on 1 connections had not left");
}

TEST_F(VanishedCallersTest, AreCutWhenTheGoodbyeCannotBeSaid) {
  Start({"--termination_grace=1h", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms",
         "--shutdown_drain_calls=100ms"});
  bench::WatchRequest request;
  // Larger than what flow control lets go unread.
  request.set_payload(std::string(3 << 20, 'x'));
  const auto watch = Watch(request);
  ASSERT_TRUE(SwitchLoopback(false)) << std::strerror(errno);
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(EventNames(), Contains("ServerStopped"));
}

TEST_F(VanishedCallersTest, AreOwedNothingInTheMiddleOfTheirHandshake) {
  const testkit::TempDir directory;
  const rpc::SelfSigned identity;
  std::ofstream(directory.File("certificate")) << identity.certificate;
  std::ofstream(directory.File("key")) << identity.key;
  std::vector<std::string> flags = kAllTheTime;
  flags.push_back("--tls_certificate=" + directory.File("certificate"));
  flags.push_back("--tls_key=" + directory.File("key"));
  Start(flags);
  const int caller = Connect();
  ASSERT_GE(caller, 0) << std::strerror(errno);
  LetNothingArrive(caller);
  const std::string hello = ClientHello();
  ASSERT_EQ(send(caller, hello.data(), hello.size(), 0), std::ssize(hello));
  ASSERT_TRUE(testkit::Eventually([this] { return !AllIsAcknowledged(); })) << "of the handshake";
  EXPECT_EQ(Stop(), Ending::Exited(0)) << Output();
  close(caller);
}

}  // namespace
}  // namespace process_test

int main(int argc, char** argv) {
  process_test::no_network = testkit::GetOwnNetwork();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
