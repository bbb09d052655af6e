#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
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
  DemoTest() : DemoTest(testkit::ChildProcess::Environment()) {}
  explicit DemoTest(testkit::ChildProcess::Environment more)
      : demo_({testkit::RunfileOrDie("service/orders/demo/demo")}, With(std::move(more))) {}

  testkit::ChildProcess::Environment With(testkit::ChildProcess::Environment more) const {
    more["TEST_TMPDIR"] = directory_.path();
    return more;
  }

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
  testkit::ChildProcess demo_;
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

// What stands in for the inventory: it never serves.
struct NeverServes {
  NeverServes() {
    std::filesystem::create_directories(tree.File("any/service/inventory"));
    const std::string program = tree.File("any/service/inventory/inventory");
    std::ofstream(program) << "#!/bin/sh\n: >" << started << "\nexec sleep 1000\n";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }

  const testkit::TempDir tree;
  const std::string started = tree.File("started");
};

class StartingDemoTest : private NeverServes, public DemoTest {
 protected:
  StartingDemoTest() : DemoTest({{"TEST_SRCDIR", tree.path()}}) {}

  bool InventoryHasStarted() const { return std::filesystem::exists(started); }
};

TEST_F(StartingDemoTest, EndsAtASignal) {
  ASSERT_TRUE(testkit::Eventually([this] { return InventoryHasStarted(); })) << demo_.Output();
  demo_.Signal(SIGINT);
  EXPECT_EQ(demo_.Wait(kLimit / 2), testkit::Ending::Exited(130)) << demo_.Output();
  EXPECT_THAT(demo_.Output(), HasSubstr("interrupted"));
  ExpectNothingLeftBehind();
}

}  // namespace
}  // namespace demo
