// What a real server reports about its settings and about its platform's limit.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace process_test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

struct Printed {
  Ending ending;
  std::string text;
};

Printed PrintConfig(std::vector<std::string> flags, ChildProcess::Environment environment = {}) {
  flags.insert(flags.begin(), testkit::RunfileOrDie("tests/servers/echo/echo_server"));
  flags.push_back("--print_config");
  ChildProcess server(flags, std::move(environment));
  const Ending ending = server.Wait(kLimit);
  return {ending, server.Output()};
}

TEST(PrintConfigTest, PrintsEveryResultingBudgetAndExitsWith0) {
  const Printed printed = PrintConfig({"--termination_grace=60s"});
  EXPECT_EQ(printed.ending, Ending::Exited(0));
  EXPECT_EQ(printed.text,
            "# shutdown budget: lame_duck 10s + drain_connections 24s + drain_calls 10s + "
            "cancel_calls 4s + stop_workers 3s + "
            "save_state 3s + close_resources 4s + reserve 2s = 1m\n"
            "# the watchdog ends the process after 59s\n"
            "# the platform sends SIGKILL after an unknown time\n"
            "--access_log=false\n"
            "--access_log_per_second=1000\n"
            "--address=127.0.0.1:50051\n"
            "--admin_address=\n"
            "--admin_allow_plaintext=false\n"
            "--admin_http_address=127.0.0.1:0\n"
            "--admin_http_port_file=\n"
            "--admin_port_file=\n"
            "--admin_tls=false\n"
            "--authorization_policy=\n"
            "--default_deadline=0\n"
            "--handshake_timeout=10s\n"
            "--keepalive_time=1m\n"
            "--keepalive_timeout=10s\n"
            "--log_format=text\n"
            "--log_level=info\n"
            "--max_calls_in_flight=20000\n"
            "--max_concurrent_streams=1000\n"
            "--max_connection_age=0\n"
            "--max_connection_age_grace=1m\n"
            "--max_connection_idle=0\n"
            "--max_connections=10000\n"
            "--max_deadline=0\n"
            "--max_receive_message_size=4194304\n"
            "--max_resets_per_second=500\n"
            "--max_send_message_size=4194304\n"
            "--max_sync_threads=256\n"
            "--memory_quota_bytes=67108864\n"
            "--min_ping_interval_without_data=10s\n"
            "--port_file=\n"
            "--request_compression=false\n"
            "--reserved_descriptors=64\n"
            "--shutdown_cancel_calls=4s\n"
            "--shutdown_close_resources=4s\n"
            "--shutdown_drain_calls=10s\n"
            "--shutdown_drain_connections=24s\n"
            "--shutdown_lame_duck=10s\n"
            "--shutdown_report=\n"
            "--shutdown_reserve=2s\n"
            "--shutdown_save_state=3s\n"
            "--shutdown_stop_workers=3s\n"
            "--silent_connection_timeout=1s\n"
            "--systemd_extend_timeout=false\n"
            "--takeover=\n"
            "--termination_grace=1m\n"
            "--tls_certificate=\n"
            "--tls_client_ca=\n"
            "--tls_key=\n"
            "--tls_require_client_certificate=true\n");
}

TEST(PrintConfigTest, CanBeReadBackAsAFlagFile) {
  const testkit::TempDir directory;
  const Printed first = PrintConfig({"--termination_grace=7s", "--shutdown_drain_calls=1.5s",
                                     "--platform_grace=10s", "--address=[::1]:0"});
  EXPECT_EQ(first.ending, Ending::Exited(0)) << first.text;
  EXPECT_THAT(first.text, HasSubstr("\n--shutdown_drain_calls=1.5s\n"));
  std::ofstream(directory.File("flags")) << first.text;
  EXPECT_EQ(PrintConfig({"--flagfile=" + directory.File("flags")}).text, first.text);
}

TEST(PrintConfigTest, ReadsAFlagFileBesideTheCallerOfBazelw) {
  const testkit::TempDir directory;
  std::ofstream(directory.File("flags")) << "--termination_grace=7s\n";
  const Printed printed =
      PrintConfig({"--flagfile=flags"},
                  {{"BUILD_WORKING_DIRECTORY", "/"}, {"BAZELW_CALLED_FROM", directory.path()}});
  EXPECT_EQ(printed.ending, Ending::Exited(0)) << printed.text;
  EXPECT_THAT(printed.text, HasSubstr("--termination_grace=7s\n"));
}

TEST(PrintConfigTest, RejectsBudgetsThatDoNotFitWith1) {
  const Printed printed = PrintConfig({"--termination_grace=1s", "--shutdown_drain_calls=2s"});
  EXPECT_EQ(printed.ending, Ending::Exited(1));
  EXPECT_THAT(printed.text, StartsWith("usage: the shutdown does not fit"));
}

TEST(HelpTest, ListsExactlyOurFlags) {
  ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"), "--help"});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  const std::string help = server.Output();
  EXPECT_THAT(help, StartsWith("echo_server: "));
  EXPECT_THAT(help, HasSubstr(" Durations have units, such as 30s"));
  std::istringstream settings(PrintConfig({}).text);
  for (std::string line; std::getline(settings, line);) {
    if (!line.starts_with("--")) continue;
    EXPECT_THAT(help, HasSubstr(line.substr(0, line.find('=')) + " ("));
  }
  EXPECT_THAT(help, HasSubstr("--print_config ("));
  EXPECT_THAT(help, HasSubstr("--platform_grace ("));
  EXPECT_THAT(help, Not(HasSubstr("--flagfile (")));
}

struct BadFlag {
  std::string flag;
  std::string said;
};

class BadFlagTest : public ::testing::TestWithParam<BadFlag> {};

TEST(VersionTest, IsTheStampOfTheBuild) {
  ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"), "--version"});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(0));
  EXPECT_THAT(server.Output(),
              ContainsRegex("^build [0-9a-f]{12}, (not )?optimized, gRPC [0-9.]+\n$"));
}

TEST_P(BadFlagTest, IsNamedAndEndsTheStartWith1) {
  const Printed printed = PrintConfig({GetParam().flag});
  EXPECT_EQ(printed.ending, Ending::Exited(1));
  EXPECT_THAT(printed.text, HasSubstr(GetParam().said));
  EXPECT_EQ(std::count(printed.text.begin(), printed.text.end(), '\n'), 1) << printed.text;
}

INSTANTIATE_TEST_SUITE_P(
    EveryServer, BadFlagTest,
    ::testing::Values(
        BadFlag{"--termination_grace=0", "does not fit its termination grace of 0"},
        BadFlag{"--termination_grace=-1s", "termination grace of -1s"},
        BadFlag{"--termination_grace=1ns", "termination grace of 1ns"},
        BadFlag{"--termination_grace=inf", "longer than 24h"},
        BadFlag{"--termination_grace=soon", "'soon'"},
        BadFlag{"--shutdown_drain_calls=-1s", "calls budget of -1s is negative"},
        BadFlag{"--shutdown_drain_calls=inf", "longer than a day"},
        BadFlag{"--keepalive_time=-1s", "--keepalive_time must be from 0 to a week, is -1s"},
        BadFlag{"--max_connection_age=inf", "--max_connection_age must be from 0 to a week"},
        BadFlag{"--max_deadline=-1s", "--max_deadline must be from 0 to a week, is -1s"},
        BadFlag{"--default_deadline=inf", "--default_deadline must be from 0 to a week"},
        BadFlag{"--max_deadline=500us", "--max_deadline must be at least 1ms, or 0, is 500us"},
        BadFlag{"--default_deadline=1ns", "--default_deadline must be at least 1ms, or 0, is 1ns"},
        BadFlag{"--handshake_timeout=0", "--handshake_timeout must be from 1ms to a week, is 0"},
        BadFlag{"--handshake_timeout=0.5ms", "must be from 1ms to a week, is 500us"},
        BadFlag{"--silent_connection_timeout=999ms",
                "--silent_connection_timeout must be from 1s to a week, is 999ms"},
        BadFlag{"--keepalive_timeout=0", "--keepalive_timeout must be from 1ms to a week, is 0"},
        BadFlag{"--keepalive_timeout=inf", "must be from 1ms to a week, is inf"},
        BadFlag{"--max_connection_age=1us", "--max_connection_age must be at least 1ms, or 0"},
        BadFlag{"--max_concurrent_streams=0", "--max_concurrent_streams must be at least 1"},
        BadFlag{"--max_sync_threads=0", "--max_sync_threads must be at least 1, is 0"},
        BadFlag{"--max_receive_message_size=-1", "--max_receive_message_size must be at least 1"},
        BadFlag{"--max_receive_message_size=70000000",
                "--max_receive_message_size=70000000 is above --memory_quota_bytes=67108864"},
        BadFlag{"--max_send_message_size=all", "'all'"},
        BadFlag{"--access_log_per_second=0", "--access_log_per_second must be at least 1"},
        BadFlag{"--log_format=xml", "--log_format must be text or json, is xml"},
        BadFlag{"--log_level=loud", "--log_level must be debug, info, warning or error, is loud"},
        BadFlag{"--tls_key=key.pem", "--tls_certificate and --tls_key must be set together"},
        BadFlag{"--tls_client_ca=ca.pem", "--tls_client_ca needs --tls_certificate"},
        BadFlag{"--admin_tls", "--admin_tls needs --tls_certificate"},
        BadFlag{"--admin_address=0.0.0.0:0", "--admin_allow_plaintext"},
        BadFlag{"--admin_address=127.example.com:0", "--admin_address=127.example.com:0 can be"},
        BadFlag{"--admin_address=fd:admin", "--admin_address=fd:admin may be reached from other"},
        BadFlag{"--admin_http_address=0.0.0.0:0", "--admin_http_address=0.0.0.0:0 can be reached"},
        BadFlag{"--admin_address=127.0.0.1:0,[::]:0", "--admin_address=[::]:0 can be reached from"},
        BadFlag{"--flagfile=/", "--flagfile=/: cannot read /: Is a directory"},
        BadFlag{"--port_file=/d/port ", "--port_file must not end with a blank"},
        BadFlag{"--port_file=/d/\u00e4\r", "a line break, is \"/d/\u00e4\\r\""},
        BadFlag{"--takeover=a\n", "a line break, is \"a\\n\""}),
    [](const auto& info) { return "Number" + std::to_string(info.index); });

TEST(FilesTest, AreNotNamedTwice) {
  const auto said = [](const std::string& one, const std::string& other) {
    const Printed printed = PrintConfig({one, other});
    EXPECT_EQ(printed.ending, Ending::Exited(1));
    return printed.text;
  };
  EXPECT_THAT(said("--address=127.0.0.1:0,unix:/d/socket", "--takeover=/d/e/../socket"),
              HasSubstr("--takeover and --address name one file, /d/socket: give each its own"));
  EXPECT_THAT(said("--address=unix:socket", "--admin_address=unix:./socket"),
              HasSubstr("--admin_address and --address name one file, /"));
  EXPECT_THAT(said("--port_file=/d/a", "--shutdown_report=/d/a"),
              HasSubstr("--shutdown_report and --port_file name one file, /d/a: "));
  EXPECT_THAT(said("--port_file=/dev/shm/a", "--shutdown_report=/dev/shm/a"),
              HasSubstr("--shutdown_report and --port_file name one file, /dev/shm/a: "));
}

TEST(FilesTest, AreNotWrittenOverThoseThatAreRead) {
  const testkit::TempDir directory;
  const std::string file = directory.File("file");
  std::ofstream(file) << "# nothing\n";
  const std::string tls = "--tls_key=" + file;
  const auto said = [&](std::vector<std::string> flags) {
    const Printed printed = PrintConfig(std::move(flags));
    EXPECT_EQ(printed.ending, Ending::Exited(1));
    return printed.text;
  };
  const std::string one_file = " name one file, " + file + ": give each its own";
  EXPECT_THAT(said({"--flagfile=" + file, "--port_file=" + file}),
              HasSubstr("--flagfile and --port_file" + one_file));
  EXPECT_THAT(said({"--authorization_policy=" + file, "--shutdown_report=" + file}),
              HasSubstr("--authorization_policy and --shutdown_report" + one_file));
  EXPECT_THAT(said({"--tls_certificate=/d/c", tls, "--address=unix:" + file}),
              HasSubstr("--tls_key and --address" + one_file));
  EXPECT_EQ(PrintConfig(
                {"--tls_certificate=" + file, tls, "--log_level=error", "--shutdown_report=error"})
                .ending,
            Ending::Exited(0));
}

TEST(DeadlineFlagsTest, RejectADefaultAboveTheMaximum) {
  const Printed printed = PrintConfig({"--max_deadline=1s", "--default_deadline=2s"});
  EXPECT_EQ(printed.ending, Ending::Exited(1));
  EXPECT_THAT(printed.text, HasSubstr("--default_deadline must not be longer than --max_deadline"));
}

TEST(MessageSizeFlagsTest, MayBeAsLargeAsTheQuota) {
  const auto ending = [](const std::string& size, const std::string& quota) {
    return PrintConfig({"--max_receive_message_size=" + size, "--memory_quota_bytes=" + quota})
        .ending;
  };
  EXPECT_EQ(ending("1000", "1000"), Ending::Exited(0));
  EXPECT_EQ(ending("70000000", "0"), Ending::Exited(0));
}

TEST(PlatformGraceTest, WarnsWithBothNumbersWhenShorter) {
  const std::string warning =
      ", before a shutdown of 30s (--termination_grace) can end: the platform must allow at least "
      "as much\n";
  EXPECT_THAT(
      PrintConfig({"--platform_grace=20s"}).text,
      AllOf(HasSubstr("warning: the platform sends SIGKILL after 20s (--platform_grace)" + warning),
            HasSubstr("# the platform sends SIGKILL after 20s (--platform_grace)\n")));
  EXPECT_THAT(
      PrintConfig({}, {{"TIMEOUT_STOP_USEC", "10s"}}).text,
      HasSubstr("warning: the platform sends SIGKILL after 10s (TIMEOUT_STOP_USEC)" + warning));
  EXPECT_THAT(PrintConfig({}, {{"TERMINATION_GRACE_PERIOD_SECONDS", "5"}}).text,
              HasSubstr("warning: the platform sends SIGKILL after 5s "
                        "(TERMINATION_GRACE_PERIOD_SECONDS)" +
                        warning));
}

TEST(PlatformGraceTest, DoesNotWarnWhenLongEnough) {
  const Printed printed = PrintConfig({}, {{"TIMEOUT_STOP_USEC", "30s"}});
  EXPECT_EQ(printed.ending, Ending::Exited(0));
  EXPECT_THAT(printed.text, Not(HasSubstr("warning")));
}

TEST(PlatformGraceTest, RejectsAMalformedDurationWith1) {
  const Printed printed = PrintConfig({}, {{"TIMEOUT_STOP_USEC", "soon"}});
  EXPECT_EQ(printed.ending, Ending::Exited(1));
  EXPECT_EQ(printed.text, "usage: TIMEOUT_STOP_USEC: \"soon\" is not a duration\n");
}

TEST(PlatformGraceTest, DoesNotPreventServingWhenShorter) {
  ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"),
                       "--address=127.0.0.1:0", "--platform_grace=1s", "--shutdown_lame_duck=0"});
  EXPECT_TRUE(server.AwaitOutput(" Serving\n", kLimit)) << server.Output();
  EXPECT_THAT(server.Output(), HasSubstr("Z W echo: the platform sends SIGKILL after 1s"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(0)) << server.Output();
}

}  // namespace
}  // namespace process_test
