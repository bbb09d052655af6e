#include "client/operator_commands.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <stop_token>
#include <string>
#include <vector>

#include "client/testing/cli_under_test.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using grpc::StatusCode;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class CliTest : public CliUnderTest {
 protected:
  CliTest() : CliUnderTest(OperatorCommands()) {}

  // Runs the program against the fake server.
  int Client(std::vector<std::string> arguments, std::size_t output_takes = kNoLimit) {
    arguments.push_back("--admin=" + server_.address());
    return Run(arguments, output_takes);
  }

  FakeServer server_;
};

TEST_F(CliTest, EveryCommandHasHelpThatFitsATerminal) { ExpectHelp(); }

TEST_F(CliTest, HelpHasEveryExitCode) {
  EXPECT_EQ(Run({"help"}), kDone);
  for (const char* code : {"0", "1", "2", "3", "4", "5"}) {
    EXPECT_THAT(out(), HasSubstr("\n  " + std::string(code) + "  "));
  }
}

TEST_F(CliTest, MissingAndUnknownCommandsAreUsageErrors) {
  EXPECT_EQ(Run({}), kUsage);
  EXPECT_THAT(err(), HasSubstr("client drain"));
  EXPECT_EQ(out(), "");
  EXPECT_EQ(Run({"darin"}), kUsage);
  EXPECT_EQ(err(), "client: there is no command darin (see: client help)\n");
  EXPECT_EQ(Run({"help", "darin"}), kUsage);
}

TEST_F(CliTest, UsageErrorsListValidChoicesInOneLine) {
  ExpectUsageError({"drain"}, "which server? --admin=HOST:PORT, its --admin_address");
  ExpectUsageError({"undrain", "all"}, "takes flags only");
  ExpectUsageError({"state", "--admin=x", "--timeout=10"},
                   "\"10\" is no duration from 1ms to 24h with its unit, as in 10s or 2m");
  ExpectUsageError({"state", "--josn"}, "unknown flag --josn");
  ExpectUsageError({"state", "--json=x"}, "--json takes no value");
}

TEST_F(CliTest, NoServerIsExitCodeThree) {
  EXPECT_EQ(Run({"state", "--admin=127.0.0.1:1"}), kTryAgain);
  EXPECT_THAT(err(),
              EndsWith("Does the server run, and are its address and the --tls flags right?\n"));
}

TEST_F(CliTest, NamesTheProxyThatMayBeInTheWay) {
  setenv("http_proxy", "http://user:password@127.0.0.1:1", 1);
  EXPECT_EQ(Client({"state"}), kTryAgain);
  unsetenv("http_proxy");
  EXPECT_THAT(
      err(),
      EndsWith(
          "Does the server run, and are its address and the --tls flags right? http_proxy is set: "
          "gRPC connects through that proxy, unless no_proxy names the "
          "server.\n"));
  EXPECT_THAT(err(), testing::Not(HasSubstr("password")));
}

TEST_F(CliTest, AnAddressForCallersHasAdvice) {
  server_.admin.drain.Then([](FakeAdmin::States&) {
    return grpc::Status(StatusCode::UNIMPLEMENTED, "");  // So does gRPC.
  });
  EXPECT_EQ(Client({"drain"}), kRefused);
  EXPECT_EQ(
      err(),
      "client drain: UNIMPLEMENTED. Is the address right? A server listens for operators (--admin) "
      "at its --admin_address, and for callers at its --address.\n");
}

TEST_F(CliTest, EachTlsFlagAloneUsesTls) {
  EXPECT_EQ(Client({"state", "--tls"}), kTryAgain);
  EXPECT_EQ(Client({"state", "--tls-server-name=orders"}), kTryAgain);
  EXPECT_EQ(server_.admin.get_state.calls(), 0u);  // It speaks plain text.
}

TEST_F(CliTest, PrintsTheProgressOfADrain) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    admin::v1::DrainResponse response;
    admin::v1::State& state = *response.mutable_state();
    state.set_phase(admin::v1::PHASE_LAME_DUCK);
    state.mutable_time_left()->set_seconds(5);
    state.set_connections(2);
    state.set_calls(3);
    state.set_streams(1);
    states.Write(response);
    state.Clear();
    state.set_phase(admin::v1::PHASE_DRAINING_CONNECTIONS);
    state.set_drained(true);
    state.set_hinted_calls(12);
    states.Write(response);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"drain"}), kDone);
  EXPECT_EQ(out(),
            "LAME_DUCK             calls=3  streams=1  connections=2  hinted=0  left=5s\n"
            "DRAINING_CONNECTIONS  calls=0  streams=0  connections=0  hinted=12  drained\n");
  EXPECT_EQ(err(), "");
}

TEST_F(CliTest, SaysThatADrainWasUndone) {
  server_.admin.drain.Then([](FakeAdmin::States&) {
    return Refusal(StatusCode::ABORTED, "the drain was undone", "UNDRAINED");
  });
  EXPECT_EQ(Client({"drain"}), kRefused);
  EXPECT_EQ(err(), "client drain: ABORTED: the drain was undone (UNDRAINED)\n");
}

TEST_F(CliTest, SaysThatADrainContinuesAfterATimeout) {
  std::stop_source over;
  for (int i = 0; i < 10; ++i) {
    server_.admin.drain.Then([over = over.get_token()](FakeAdmin::States& states) {
      states.Write({});
      AwaitStop(over);
      return grpc::Status::OK;
    });
  }
  // On a busy machine the first timeouts may end before the call has left.
  for (int ms = 50; out().empty() && ms < 50000; ms *= 2) {
    EXPECT_EQ(Client({"drain", "--timeout=" + std::to_string(ms) + "ms"}), kTryAgain);
  }
  over.request_stop();
  EXPECT_NE(out(), "");
  EXPECT_EQ(err(), "client drain: not yet drained; it goes on. `client state --admin=" +
                       server_.address() + "` shows it\n");
}

TEST_F(CliTest, SaysThatADrainMayContinueWithoutAConnection) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    states.Write({});
    return grpc::Status(StatusCode::UNAVAILABLE, "Socket closed");
  });
  EXPECT_EQ(Client({"drain"}), kTryAgain);
  EXPECT_EQ(
      err(),
      "client drain: the connection is lost (UNAVAILABLE: Socket closed); if the server lives, "
      "the drain goes on. `client state --admin=" +
          server_.address() + "` shows it\n");
}

TEST_F(CliTest, PromisesNoDrainThatNobodyWasAskedFor) {
  // Lets callers connect, and never says a word.
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 1), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(Run({"drain", "--admin=" + name, "--timeout=50ms"}), kTryAgain);
  EXPECT_EQ(
      err(),
      "client drain: UNAVAILABLE: no server serves at " + name +
          " (waited 50ms). Does the server run, and are its address and the --tls flags right?\n");
  close(silent);
}

TEST_F(CliTest, ALostOutputEndsTheWaitForADrain) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    while (states.Write({})) {  // Until the client has gone.
    }
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"drain"}, /*output_takes=*/0), kOutputLost);
  EXPECT_EQ(err(),
            "client drain: cannot write its output: the output takes no more. The drain goes on: "
            "`client state --admin=" +
                server_.address() + "` shows it\n");
}

TEST_F(CliTest, PrintsTheStateAsJson) {
  const auto serving = [](admin::v1::State& state) {
    state.set_phase(admin::v1::PHASE_SERVING);
    return grpc::Status::OK;
  };
  server_.admin.undrain.Then(serving);
  server_.admin.get_state.Then(serving).Then(serving);
  EXPECT_EQ(Client({"undrain"}), kDone);
  EXPECT_EQ(out(), "SERVING               calls=0  streams=0  connections=0  hinted=0\n");
  EXPECT_EQ(Client({"state"}), kDone);
  EXPECT_EQ(out(), "SERVING               calls=0  streams=0  connections=0  hinted=0\n");
  EXPECT_EQ(Client({"state", "--json"}), kDone);
  EXPECT_EQ(out(),
            "{\"phase\":\"PHASE_SERVING\",\"drained\":false,\"connections\":0,\"calls\":0,"
            "\"streams\":0,\"hintedCalls\":\"0\"}\n");
}

TEST_F(CliTest, SaysWhyADrainCannotBeUndone) {
  server_.admin.undrain.Then([](admin::v1::State&) {
    return Refusal(StatusCode::FAILED_PRECONDITION, "the lame duck is over", "UNDRAIN_TOO_LATE");
  });
  EXPECT_EQ(Client({"undrain"}), kRefused);
  EXPECT_THAT(err(), HasSubstr("the lame duck is over"));
}

TEST_F(CliTest, ReportDrawsAShutdown) {
  in_.str(R"({"version": 2, "program": "orders", "phases": [{"name": "DrainingConnections"}]})");
  EXPECT_EQ(Run({"report", "-"}), 0);
  EXPECT_THAT(out(), StartsWith("orders: "));
  EXPECT_THAT(out(), HasSubstr("  DrainingConnections |"));
}

TEST_F(CliTest, ReportWritesAnImageAndNothingElse) {
  in_.str(R"({"version": 2})");
  const std::string path = testing::TempDir() + "/report.svg";
  EXPECT_EQ(Run({"report", "-", "--svg=" + path}), 0);
  EXPECT_EQ(out(), "");
  std::ifstream image(path);
  const std::string svg{std::istreambuf_iterator<char>(image), {}};
  EXPECT_THAT(svg, StartsWith("<svg "));
  EXPECT_THAT(svg, EndsWith("</svg>\n"));
}

TEST_F(CliTest, AnImageThatIsLostIsLostOutput) {
  in_.str(R"({"version": 2})");
  EXPECT_EQ(Run({"report", "-", "--svg=/dev/full"}), kOutputLost);
  EXPECT_EQ(err(), "client report: cannot write /dev/full: No space left on device\n");
}

TEST_F(CliTest, ReportSaysWhatIsWrongWithItsFiles) {
  EXPECT_EQ(Run({"report"}), 1);
  EXPECT_EQ(Run({"report", "/no/such/file"}), 1);
  EXPECT_THAT(err(), HasSubstr("/no/such/file: No such file or directory"));
  EXPECT_EQ(Run({"report", testing::TempDir()}), 1);
  EXPECT_THAT(err(), HasSubstr("Is a directory"));
  in_.str("not a report");
  EXPECT_EQ(Run({"report", "-"}), 1);
  EXPECT_THAT(err(), HasSubstr("is no shutdown report"));
  in_.clear();
  in_.str(R"({"version": 2})");
  EXPECT_EQ(Run({"report", "-", "--svg=/no/such/directory/out.svg"}), 1);
  EXPECT_THAT(err(), HasSubstr("/no/such/directory/out.svg: No such file"));
}

}  // namespace
}  // namespace client
