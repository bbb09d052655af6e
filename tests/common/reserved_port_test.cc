#include "tests/common/reserved_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace testkit {
namespace {

using ::testing::StartsWith;

class ReservedPortTest : public ::testing::Test {
 protected:
  ReservedPortTest() {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string& text = port_.address();
    address_.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(text.substr(text.find(':') + 1))));
  }

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&address_); }

  ReservedPort port_;
  sockaddr_in address_{};
};

// A server's socket; the caller closes it.
int Server(const sockaddr* address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  EXPECT_EQ(bind(fd, address, sizeof(sockaddr_in)), 0);
  EXPECT_EQ(listen(fd, 1), 0);
  return fd;
}

TEST_F(ReservedPortTest, SaysWhichPortItIs) {
  EXPECT_THAT(port_.address(), StartsWith("127.0.0.1:"));
}

TEST_F(ReservedPortTest, AServerMayListenOnItRepeatedly) {
  for (int start = 0; start < 3; ++start) close(Server(address()));
}

TEST_F(ReservedPortTest, RefusesConnectionsWhileNoServerListens) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, address(), sizeof address_), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
  close(fd);
}

TEST_F(ReservedPortTest, TwoAreNeverTheSame) {
  EXPECT_NE(ReservedPort().address(), port_.address());
}

}  // namespace
}  // namespace testkit
