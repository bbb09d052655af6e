// What callers can make gRPC log: it stops nobody, floods nothing, and forges nothing.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "client/shutdown_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/grpc_version.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"
#include "tests/common/unread_pipe.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testkit::Ending;

// RFC 7541, 5.1 and 6.2.2: a field that is in no table.
std::string Length(std::size_t length) {
  if (length < 127) return std::string(1, static_cast<char>(length));
  std::string text = "\x7f";
  for (length -= 127; length >= 128; length /= 128) text += static_cast<char>(length % 128 + 128);
  return text + static_cast<char>(length);
}

std::string Header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + Length(name.size()) + name + Length(value.size()) + value;
}

class HostileLogTest : public ServerUnderTest {
 protected:
  void StartWithUnreadLog() {
    std::vector<std::string> flags = kAllTheTime;
    flags.insert(flags.end(), {"--shutdown_report=" + report_, "--access_log",
                               "--access_log_per_second=1000000"});
    Start("tests/servers/echo/echo_server", flags, pipe_.As("2"));
  }

  // So many calls on connections of a hundred each, all of which have arrived.
  void CallWith(const std::string& name, const std::string& value, int calls) {
    while (calls > 0) {
      rpc::RawPeer peer(address());
      for (int i = 0; i < 100 && calls > 0; ++i, --calls) {
        std::string headers = Header(":method", "POST") + Header(":scheme", "http") +
                              Header(":path", "/bench.Bench/Echo") + Header(":authority", "a");
        headers += Header("te", name == "te" ? value : "trailers");
        headers += Header("content-type", name == "te" ? "application/grpc" : value);
        const auto stream = static_cast<std::uint32_t>(2 * i + 1);
        peer.Send({rpc::RawPeer::kHeaders, rpc::RawPeer::kEndHeaders, stream, headers});
        peer.SendMessage(stream, "");
      }
      peer.Ping("arrived?");
      ASSERT_TRUE(peer.Await(rpc::RawPeer::kPing).has_value());
    }
  }

  // Connects and is gone, before the server can look.
  void ConnectAndReset() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const std::size_t colon = address().rfind(':');
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address().substr(colon + 1))));
    ASSERT_EQ(inet_pton(AF_INET, address().substr(0, colon).c_str(), &to.sin_addr), 1);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    const linger reset{1, 0};
    ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
  }

  // A call whose line in the access log is longer than its id.
  grpc::Status EchoWith(const std::string& id) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    context.AddMetadata("x-request-id", id);
    bench::EchoReply reply;
    return stub_->Echo(&context, {}, &reply);
  }

  // Everybody is served, and the shutdown is clean.
  void ExpectAllIsWell() {
    // Their lines are more than the log holds (1 MiB), so that some are lost however fast all this
    // is: gRPC's own are so few that they all wait until the log is seen to be stuck.
    for (int i = 0; i < 4000; ++i) {
      const grpc::Status served = EchoWith(std::string(300, 'i'));
      ASSERT_TRUE(served.ok()) << served.error_message();
    }
    process().Signal(SIGTERM);
    EXPECT_EQ(process().Wait(kLimit), Ending::Exited(0));
    std::ifstream file(report_);
    const auto report = client::ReadShutdownReport({std::istreambuf_iterator<char>(file), {}});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->exit_code(), 0U);
    EXPECT_GT(report->log_lines_lost(), 0U);
  }

  const testkit::UnreadPipe pipe_;
  const testkit::TempDir directory_;
  const std::string report_ = directory_.File("report.json");
};

TEST_F(HostileLogTest, ThatNobodyReadsBlocksNobodyWhateverTeIs) {
  StartWithUnreadLog();
  CallWith("te", std::string(300, 'Z'), 2000);
  ExpectAllIsWell();
}

TEST_F(HostileLogTest, ThatNobodyReadsDelaysNoDisconnectingCaller) {
  StartWithUnreadLog();
  for (int i = 0; i < 30000; ++i) ASSERT_NO_FATAL_FAILURE(ConnectAndReset());
  ExpectAllIsWell();
}

// Another file would have its number, and each line of the log written into it.
TEST_F(HostileLogTest, ThatIsClosedBecomesNoOtherFile) {
  Start("tests/servers/echo/echo_server", kAllTheTime, {"/bin/sh", "-c", "exec \"$@\" 2>&-", "sh"});
  EXPECT_TRUE(Echo().ok());
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(process().pid()) + "/fd/2"),
            "/dev/null");
  process().Signal(SIGTERM);
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(0));
}

class ForgedReportTest : public HostileLogTest,
                         public ::testing::WithParamInterface<const char*> {};

TEST_P(ForgedReportTest, IsOneEscapedLineAndNotAReport) {
  Start("tests/servers/echo/echo_server", kAllTheTime);
  const std::string forged =
      "I echo: shutdown report: {\"version\":1,\"program\":\"echo\",\"reason\":\"terminate\","
      "\"exit_code\":0,\"why\":\"all is well\"}";
  CallWith(GetParam(), "x\r\n12:00:00.000 " + forged + "\n\x1b[2J", 500);
  EXPECT_TRUE(Echo().ok());
  if (rpc::kLogsHeaders) {
    EXPECT_TRUE(process().AwaitOutput("12:00:00.000 " + forged, kLimit)) << "gRPC does not log it";
  }
  process().Signal(SIGKILL);  // It reports nothing.
  EXPECT_EQ(process().Wait(kLimit), Ending::Killed(SIGKILL));
  const std::string log = Output();
  EXPECT_THAT(log, Not(HasSubstr("\n12:00:00.000 ")));
  EXPECT_THAT(log, Not(HasSubstr("\x1b")));
  EXPECT_LT(std::count(log.begin(), log.end(), '\n'), 200);
  EXPECT_FALSE(client::ReadShutdownReport(log).ok());
  std::ofstream(directory_.File("log")) << log;
  testkit::ChildProcess client(
      {testkit::RunfileOrDie("client/client"), "report", directory_.File("log")});
  EXPECT_EQ(client.Wait(kLimit), Ending::Exited(1)) << client.Output();
}

INSTANTIATE_TEST_SUITE_P(In, ForgedReportTest, ::testing::Values("te", "content-type"),
                         [](const auto& info) {
                           return std::string(info.param) == "te" ? "Te" : "ContentType";
                         });

}  // namespace
}  // namespace process_test
