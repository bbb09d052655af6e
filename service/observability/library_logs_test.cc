#include "service/observability/library_logs.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/testing/fake_clock.h"

namespace observability {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class LibraryLogsTest : public ::testing::Test {
 protected:
  LibraryLogsTest() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
    EXPECT_GE(fcntl(ends_[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
  }
  ~LibraryLogsTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }

  std::string Read(LogWriter& writer) {
    EXPECT_TRUE(writer.Flush(std::chrono::seconds(40)));
    std::string text(1 << 20, '\0');
    const ssize_t size = read(ends_[0], text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }

  static int Count(const std::string& text, const std::string& what) {
    int count = 0;
    for (std::size_t at = 0; (at = text.find(what, at)) != text.npos; ++at) ++count;
    return count;
  }

  int ends_[2];
};

TEST_F(LibraryLogsTest, LimitLinesPerPlaceAndCountTheRest) {
  LogWriter writer("orders", ends_[1]);
  lifecycle::FakeClock clock;
  LibraryLogs logs(writer, clock);
  for (int i = 0; i < 100; ++i) logs.Log("grpc", 'E', "a.cc:1", "bad");
  logs.Log("grpc", 'E', "b.cc:2", "other");
  std::string text = Read(writer);
  EXPECT_EQ(Count(text, " E orders: [grpc] a.cc:1: bad\n"), LibraryLogs::kErrors);
  EXPECT_EQ(Count(text, " E orders: [grpc] b.cc:2: other\n"), 1);
  EXPECT_THAT(text, Not(HasSubstr("more lines")));
  clock.Advance(std::chrono::seconds(1));
  logs.Log("grpc", 'E', "b.cc:2", "later");
  text = Read(writer);
  EXPECT_EQ(Count(text, " W orders: [grpc] a.cc:1: 90 more lines\n"), 1);
  EXPECT_EQ(Count(text, "later"), 1);
  for (int i = 0; i < 11; ++i) logs.Log("grpc", 'E', "a.cc:1", "bad");
  logs.SumUp();
  logs.SumUp();
  text = Read(writer);
  EXPECT_EQ(Count(text, ": bad\n"), LibraryLogs::kErrors);
  EXPECT_EQ(Count(text, ": 1 more lines\n"), 1);
}

TEST_F(LibraryLogsTest, LogMoreWhenVerbosityAsksForIt) {
  LogWriter writer("orders", ends_[1]);
  LibraryLogs logs(writer);
  for (int i = 0; i < 100; ++i) logs.Log("grpc", 'D', "a.cc:1", "detail");
  EXPECT_EQ(Count(Read(writer), "detail"), 100);
}

TEST_F(LibraryLogsTest, LogAsOneLineWhateverAPeerSends) {
  LogWriter writer("orders", ends_[1]);
  LibraryLogs logs(writer);
  logs.Log("grpc", 'E', "a.cc:1",
           "te: x\r\n12:00:00.000 I orders: shutdown report: {}\x1b[2J" + std::string(5000, 'z'));
  const std::string text = Read(writer);
  EXPECT_THAT(text, HasSubstr("te: x\\r\\n12:00:00.000 I orders: shutdown report: {}\\x1b[2Jzz"));
  EXPECT_EQ(Count(text, "\n"), 1);
  EXPECT_LT(text.size(), 1200U);
}

TEST_F(LibraryLogsTest, IncludeProtobufsLines) {
  // Lives until the process ends, as TakeLibraryLogs() wants it.
  LogWriter& writer = *new LogWriter("orders", ends_[1]);
  TakeLibraryLogs(writer);
  report::v1::ShutdownReport report;
  EXPECT_FALSE(report.ParseFromString("\x12\x02\xFF\xFE"));
  EXPECT_THAT(Read(writer), ContainsRegex(" E orders: \\[[a-z]+\\] [a-z_]+\\.cc:[0-9]+: .*UTF-8"));
}

}  // namespace
}  // namespace observability
