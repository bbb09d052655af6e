// The real program, where it is not as testable as the rest: the directory it runs in.
#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace client {
namespace {

using ::testing::HasSubstr;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

constexpr char kReport[] = R"({"version":2,"program":"orders","reason":"terminate","took_ms":1,)"
                           R"("grace_ms":30000,"exit_code":0})";

// `bazelw run` gives it to this test, whose children would have it, too.
void LeaveBazelw() { unsetenv("BAZELW_CALLED_FROM"); }

TEST(MainTest, PathsAreRelativeToTheCallersDirectory) {
  LeaveBazelw();
  const testkit::TempDir shell;
  std::ofstream(shell.File("report.json")) << kReport;
  ChildProcess client(
      {testkit::RunfileOrDie("client/client"), "report", "report.json", "--svg=report.svg"},
      {{"BUILD_WORKING_DIRECTORY", shell.File("")}});
  EXPECT_EQ(client.Wait(kLimit), Ending::Exited(0)) << client.Output();
  std::string image;
  std::getline(std::ifstream(shell.File("report.svg")), image);
  EXPECT_THAT(image, HasSubstr("<svg"));
}

TEST(MainTest, PathsAreRelativeToWhereBazelwWasCalled) {
  const testkit::TempDir shell;
  std::ofstream(shell.File("report.json")) << kReport;
  ChildProcess client({testkit::RunfileOrDie("client/client"), "report", "report.json"},
                      {{"BUILD_WORKING_DIRECTORY", "/"}, {"BAZELW_CALLED_FROM", shell.File("")}});
  EXPECT_EQ(client.Wait(kLimit), Ending::Exited(0)) << client.Output();
}

TEST(MainTest, AMissingWorkingDirectoryIsAUsageError) {
  LeaveBazelw();
  const testkit::TempDir shell;
  const std::string gone = shell.File("gone");
  ChildProcess client({testkit::RunfileOrDie("client/client"), "help"},
                      {{"BUILD_WORKING_DIRECTORY", gone}});
  EXPECT_EQ(client.Wait(kLimit), Ending::Exited(1));
  EXPECT_EQ(client.Output(),
            "client: cannot change to directory " + gone + ": No such file or directory\n");
}

// Runs the program in a shell, as $CLIENT.
Ending Shell(const std::string& script, std::string* output) {
  const testkit::TempDir directory;
  ChildProcess shell({"/bin/sh", "-c", "cd " + directory.File("") + " && " + script},
                     {{"CLIENT", testkit::RunfileOrDie("client/client")}});
  const Ending ending = shell.Wait(kLimit);
  *output = shell.Output();
  return ending;
}

TEST(MainTest, AFullDiskIsAnError) {
  std::string output;
  EXPECT_EQ(Shell("exec \"$CLIENT\" help > /dev/full", &output), Ending::Exited(5)) << output;
  EXPECT_EQ(output, "client help: cannot write its output: No space left on device\n");
}

TEST(MainTest, APipeThatNobodyReadsIsAnError) {
  std::string output;
  // The pipe is opened for both ways, then for writing, then the reader leaves.
  EXPECT_EQ(Shell("mkfifo pipe && exec 3<>pipe 4>pipe 3<&- && exec \"$CLIENT\" help >&4", &output),
            Ending::Exited(5))
      << output;
  EXPECT_EQ(output, "client help: cannot write its output: Broken pipe\n");
}

TEST(MainTest, ClosedOutputFailsAndNoConnectionReplacesIt) {
  std::string output;
  EXPECT_EQ(Shell("exec \"$CLIENT\" help >&-", &output), Ending::Exited(5)) << output;
  EXPECT_EQ(output, "client help: cannot write its output: Bad file descriptor\n");
}

}  // namespace
}  // namespace client
