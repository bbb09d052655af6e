#include "tests/common/slow_link.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>

#include "tests/common/eventually.h"

namespace testkit {
namespace {

constexpr int kLimitMs = 20000;

// A TCP socket of 127.0.0.1, whose reads and writes end after a while.
class Socket {
 public:
  Socket() : Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  explicit Socket(int fd) : fd_(fd) {
    const timeval limit = {kLimitMs / 1000, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  ~Socket() { Close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  std::string Listen() {
    sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 10), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }

  int Accept() { return accept(fd_, nullptr, nullptr); }

  void Connect(const std::string& to) {
    sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(to.substr(to.rfind(':') + 1))));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }

  void Send(const std::string& bytes) {
    EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }

  // As many bytes, or fewer when the other side ends: `error()` says how.
  std::string Receive(std::size_t count) {
    std::string bytes(count, '\0');
    std::size_t had = 0;
    while (had < count) {
      const ssize_t got = recv(fd_, bytes.data() + had, count - had, 0);
      error_ = got < 0 ? errno : 0;
      if (got <= 0) break;
      had += static_cast<std::size_t>(got);
    }
    bytes.resize(had);
    return bytes;
  }
  // Bytes that the other side's kernel has not taken.
  int Unacknowledged() const {
    int bytes = -1;
    EXPECT_EQ(ioctl(fd_, SIOCOUTQ, &bytes), 0);
    return bytes;
  }

  int error() const { return error_; }

  bool Readable(int limit_ms) {
    pollfd one = {fd_, POLLIN, 0};
    return poll(&one, 1, limit_ms) == 1;
  }

  void Reset() {
    const linger now = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
  int error_ = 0;
};

// One connection through a link.
class SlowLinkTest : public ::testing::Test {
 protected:
  void Connect(const SlowLink::Options& options) {
    link_ = std::make_unique<SlowLink>(listener_.Listen(), options);
    caller_.Connect(link_->address());
    server_ = std::make_unique<Socket>(listener_.Accept());
  }

  Socket listener_;
  std::unique_ptr<SlowLink> link_;
  Socket caller_;
  std::unique_ptr<Socket> server_;
};

TEST_F(SlowLinkTest, PassesBytesBothWaysAndBothEnds) {
  Connect({});
  const std::string much(300000, 'q');
  caller_.Send(much);
  EXPECT_EQ(server_->Receive(much.size()), much);
  caller_.EndSending();
  EXPECT_EQ(server_->Receive(1), "");
  server_->Send("answer");
  server_->Close();
  EXPECT_EQ(caller_.Receive(7), "answer");
  EXPECT_EQ(caller_.error(), 0);
  EXPECT_EQ(link_->sent_up(), 300000);
  EXPECT_EQ(link_->sent_down(), 6);
  EXPECT_EQ(link_->resets(), 0);
}

TEST_F(SlowLinkTest, PassesLimitedBytesASecond) {
  Connect({.bytes_per_second = 100000});
  const auto begin = std::chrono::steady_clock::now();
  server_->Send(std::string(50000, 'x'));
  EXPECT_EQ(caller_.Receive(50000).size(), 50000u);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(took.count(), 0.45);
}

TEST_F(SlowLinkTest, PassesEachByteSoMuchLater) {
  Connect({.delay = std::chrono::milliseconds(150)});
  const auto begin = std::chrono::steady_clock::now();
  caller_.Send("ping");
  EXPECT_EQ(server_->Receive(4), "ping");
  server_->Send("pong");
  EXPECT_EQ(caller_.Receive(4), "pong");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(300));
}

TEST_F(SlowLinkTest, PassesNothingWhileItsRateIs0) {
  Connect({.bytes_per_second = 0});
  server_->Send("late");
  EXPECT_FALSE(caller_.Readable(100));
  link_->SetRate(SlowLink::kUnlimited);
  EXPECT_EQ(caller_.Receive(4), "late");
}

TEST_F(SlowLinkTest, LeavesUnpassedBytesWithTheServer) {
  Connect({.bytes_per_second = 0, .receive_buffer = 4096});
  server_->Send(std::string(100000, 'x'));
  EXPECT_GT(server_->Unacknowledged(), 90000);
  link_->SetRate(SlowLink::kUnlimited);
  EXPECT_EQ(caller_.Receive(100000).size(), 100000u);
}

TEST_F(SlowLinkTest, PassesAResetOnAndCountsIt) {
  Connect({});
  server_->Reset();
  EXPECT_EQ(caller_.Receive(1), "");
  EXPECT_EQ(caller_.error(), ECONNRESET);
  EXPECT_EQ(link_->resets(), 1);
}

TEST_F(SlowLinkTest, PassesOnTheResetOfACaller) {
  Connect({});
  caller_.Reset();
  EXPECT_EQ(server_->Receive(1), "");
  EXPECT_EQ(server_->error(), ECONNRESET);
  EXPECT_EQ(link_->resets(), 0);
}

TEST_F(SlowLinkTest, PassesWhatCameBeforeAReset) {
  Connect({.bytes_per_second = 100000});
  server_->Send(std::string(20000, 'x'));
  for (int i = 0; i < kLimitMs && server_->Unacknowledged() > 0; ++i) usleep(1000);
  server_->Reset();
  EXPECT_EQ(caller_.Receive(20001).size(), 20000u);
  EXPECT_EQ(caller_.error(), ECONNRESET);
}

TEST_F(SlowLinkTest, ResetsACallerWhoseServerAcceptsNobody) {
  const std::string nobody = Socket().Listen();
  SlowLink link(nobody, {});
  Socket caller;
  caller.Connect(link.address());
  EXPECT_EQ(caller.Receive(1), "");
  EXPECT_EQ(caller.error(), ECONNRESET);
}

TEST_F(SlowLinkTest, CutsItsConnectionsAndMakesNewOnes) {
  Connect({});
  link_->Cut();
  EXPECT_EQ(caller_.Receive(1), "");
  EXPECT_EQ(caller_.error(), ECONNRESET);
  EXPECT_EQ(server_->Receive(1), "");
  EXPECT_EQ(server_->error(), ECONNRESET);
  Socket another;
  another.Connect(link_->address());
  another.Send("more");
  EXPECT_TRUE(testkit::Eventually([this] { return link_->sent_up() == 4; }));
}

TEST_F(SlowLinkTest, EndsConnectionsWithItself) {
  Connect({.bytes_per_second = 0});
  link_.reset();
  EXPECT_EQ(caller_.Receive(1), "");
  EXPECT_EQ(server_->Receive(1), "");
}

}  // namespace
}  // namespace testkit
