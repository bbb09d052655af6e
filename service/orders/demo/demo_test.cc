#include <signal.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace demo {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The demonstration promises to end before.
constexpr std::chrono::seconds kLimit{60};

class DemoTest : public ::testing::Test {
 protected:
  // Processes that have the demonstration's folder on their command line: its
  // servers.
  std::vector<std::string> Servers() const {
    std::vector<std::string> servers;
    for (const auto& process : std::filesystem::directory_iterator("/proc")) {
      std::ifstream file(process.path() / "cmdline");
      const std::string command{std::istreambuf_iterator<char>(file), {}};
      if (command.find(directory_.path()) != std::string::npos) servers.push_back(command);
    }
    return servers;
  }

  void ExpectNothingLeftBehind() const {
    EXPECT_THAT(Servers(), IsEmpty());
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  }

  const testkit::TempDir directory_;
  testkit::ChildProcess demo_{{testkit::RunfileOrDie("service/orders/demo/demo")},
                              {{"TEST_TMPDIR", directory_.path()}}};
};

TEST_F(DemoTest, LosesNothingAndSaysSo) {
  EXPECT_EQ(demo_.Wait(kLimit), testkit::Ending::Exited(0)) << demo_.Output();
  EXPECT_THAT(demo_.Output(), HasSubstr("Nothing was lost."));
  for (const char* event : {"LameDuckEntered", "GoodbyeSaid", "CallsFinished", "Stopped"}) {
    EXPECT_THAT(demo_.Output(), HasSubstr(event));
  }
  EXPECT_THAT(demo_.Output(), Not(HasSubstr("\x1b"))) << "colour, where there is no terminal";
  ExpectNothingLeftBehind();
}

class InterruptedDemoTest : public DemoTest, public ::testing::WithParamInterface<int> {};

TEST_P(InterruptedDemoTest, LeavesNothingBehind) {
  ASSERT_TRUE(demo_.AwaitOutput("SIGTERM to orders", kLimit)) << demo_.Output();
  EXPECT_THAT(Servers(), Not(IsEmpty()));
  demo_.Signal(GetParam());
  EXPECT_EQ(demo_.Wait(kLimit), testkit::Ending::Exited(130)) << demo_.Output();
  EXPECT_THAT(demo_.Output(), HasSubstr("interrupted"));
  ExpectNothingLeftBehind();
}

// By Ctrl-C, and by a terminal that is closed.
INSTANTIATE_TEST_SUITE_P(By, InterruptedDemoTest, ::testing::Values(SIGINT, SIGHUP),
                         [](const auto& info) { return std::string(sigabbrev_np(info.param)); });

}  // namespace
}  // namespace demo
