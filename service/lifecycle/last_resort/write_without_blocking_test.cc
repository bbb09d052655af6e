#include "service/lifecycle/last_resort/write_without_blocking.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace lifecycle {
namespace {

// Two ends, of which nobody reads one until the test does.
class WriteWithoutBlockingTest : public testing::Test {
 protected:
  WriteWithoutBlockingTest() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~WriteWithoutBlockingTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }

  // A reader with room for so much.
  void HaveRoom(int bytes) { EXPECT_EQ(fcntl(ends_[1], F_SETPIPE_SZ, bytes), bytes); }

  // All that is there to be read.
  std::string Read() {
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    std::string text;
    char bytes[4096];
    for (ssize_t size; (size = read(ends_[0], bytes, sizeof bytes)) > 0;) text.append(bytes, size);
    return text;
  }

  int ends_[2];
};

TEST_F(WriteWithoutBlockingTest, WritesALongTextThatFits) {
  HaveRoom(32768);
  const std::string text(20000, 'x');
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], text), text.size());
  EXPECT_EQ(Read(), text);
}

TEST_F(WriteWithoutBlockingTest, WritesAsManyPiecesAsFit) {
  HaveRoom(8192);
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], std::string(20000, 'x')), 8192U);
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], "y"), 0U);
  EXPECT_EQ(Read(), std::string(8192, 'x'));
}

TEST_F(WriteWithoutBlockingTest, WritesNoPartOfWhatDoesNotFit) {
  HaveRoom(8192);
  ASSERT_EQ(WriteWithoutBlocking(ends_[1], std::string(PIPE_BUF + 1, 'x')), PIPE_BUF + 1U);
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], std::string(PIPE_BUF, 'y')), 0U);
}

TEST_F(WriteWithoutBlockingTest, WaitsForRoomAndGivesUpInTime) {
  HaveRoom(4096);
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], std::string(5000, 'x'), std::chrono::milliseconds(1)),
            4096U);
}

TEST_F(WriteWithoutBlockingTest, EndsThoughOthersFillItsPipe) {
  HaveRoom(4096);
  std::thread reader([&] {
    char bytes[4096];
    while (read(ends_[0], bytes, sizeof bytes) > 0) continue;
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] {
      const std::string line(4096, 'x');
      for (int n = 0; n < 2000; ++n) WriteWithoutBlocking(ends_[1], line);
    });
  }
  for (std::thread& writer : writers) writer.join();
  close(ends_[1]);
  reader.join();
}

TEST_F(WriteWithoutBlockingTest, WritesNothingToAReaderThatIsGone) {
  signal(SIGPIPE, SIG_IGN);
  close(ends_[0]);
  EXPECT_EQ(WriteWithoutBlocking(ends_[1], "x"), 0U);
}

TEST_F(WriteWithoutBlockingTest, WritesNothingToAClosedDescriptor) {
  const int closed = dup(ends_[1]);
  close(closed);
  EXPECT_EQ(WriteWithoutBlocking(closed, "x"), 0U);
}

TEST_F(WriteWithoutBlockingTest, WritesToASocketWhatFits) {
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  const int least = 1;
  setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  // What poll() takes for room is not room for all that follows.
  ASSERT_EQ(WriteWithoutBlocking(sockets[1], "x"), 1U);
  const std::size_t written = WriteWithoutBlocking(sockets[1], std::string(PIPE_BUF, 'x'));
  EXPECT_GT(written, 0U);
  EXPECT_LT(written, std::size_t{PIPE_BUF});
  close(sockets[0]);
  close(sockets[1]);
}

// A terminal that nobody reads.
class WriteToATerminalTest : public testing::Test {
 protected:
  WriteToATerminalTest() : reader_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(grantpt(reader_), 0);
    EXPECT_EQ(unlockpt(reader_), 0);
    terminal_ = open(ptsname(reader_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_GE(terminal_, 0);
    alarm(30);  // To wait for room, as write() does, would be for ever.
  }
  ~WriteToATerminalTest() override {
    alarm(0);
    close(terminal_);
    close(reader_);
  }

  const int reader_;
  int terminal_;
};

TEST_F(WriteToATerminalTest, WritesWhatFitsThoughNobodyReads) {
  const std::string text(1 << 20, 'x');
  const std::size_t written = WriteWithoutBlocking(terminal_, text);
  EXPECT_GT(written, 0U);
  EXPECT_LT(written, text.size());
}

TEST_F(WriteToATerminalTest, LeavesItAsOthersHaveIt) {
  const int shared = dup(terminal_);
  EXPECT_EQ(WriteWithoutBlocking(terminal_, "x"), 1U);
  EXPECT_EQ(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
  close(shared);
  const int next = dup(terminal_);
  EXPECT_EQ(next, shared) << "a descriptor was left open";
  close(next);
}

TEST_F(WriteToATerminalTest, WritesThoughNoDescriptorIsLeft) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit least{.rlim_cur = 1, .rlim_max = before.rlim_max};  // poll() takes that many.
  const int terminal = terminal_;  // To look at an object, a sanitizer needs descriptors, too.
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &least), 0);
  const std::size_t written = WriteWithoutBlocking(terminal, "x");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(written, 1U);
}

}  // namespace
}  // namespace lifecycle
