#include "tests/common/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace testkit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

// Only how long a broken test takes to fail.
constexpr seconds kLimit{30};

std::vector<std::string> Shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

TEST(ChildProcessTest, ReportsItsExitCode) {
  ChildProcess child(Shell("exit 7"));
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(7));
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(7)) << "when asked again";
}

TEST(ChildProcessTest, ReportsTheSignalThatKilledIt) {
  ChildProcess child(Shell("kill -USR1 $$"));
  EXPECT_EQ(child.Wait(kLimit), Ending::Killed(SIGUSR1));
}

TEST(ChildProcessTest, OutlivesTheLimitOfAWait) {
  ChildProcess child({"/bin/sleep", "1000"});
  EXPECT_EQ(child.Wait(milliseconds(1)), Ending());
}

TEST(ChildProcessTest, IsSignalledOnlyWhileItRuns) {
  ChildProcess child(Shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"));
  ASSERT_TRUE(child.AwaitOutput("ready", kLimit));
  child.Signal(SIGTERM);
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(5));
  child.Signal(SIGKILL);
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(5));
}

TEST(ChildProcessTest, TakesSignalsSentAtOnceTogether) {
  // The shell goes through those that it has by their numbers.
  ChildProcess child(
      Shell("trap 'echo INT' INT; trap 'echo TERM; exit' TERM; echo ready; while :; do :; done"));
  ASSERT_TRUE(child.AwaitOutput("ready", kLimit));
  child.SignalAtOnce({SIGTERM, SIGINT});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  EXPECT_EQ(child.Output(), "ready\nINT\nTERM\n");
}

TEST(ChildProcessTest, StartsWithNoSignalBlockedOrIgnored) {
  sigset_t stop_signals;
  sigset_t before;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, &before);
  signal(SIGPIPE, SIG_IGN);
  ChildProcess child({"/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status"});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  signal(SIGPIPE, SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // Signals 32 and 33 belong to the C library, which lets nobody touch them.
  EXPECT_THAT(child.Output(), MatchesRegex("SigBlk:\t0{16}\nSigIgn:\t0{7}[01][08]0{7}\n"));
}

TEST(ChildProcessTest, HasPassedDescriptorsAsItsFirst) {
  int first[2], second[2];
  ASSERT_EQ(pipe2(first, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(second, O_CLOEXEC), 0);
  ChildProcess child(Shell("echo one >&3; echo two >&4"), {}, {second[1], first[1]});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0)) << child.Output();
  char text[5] = "";
  EXPECT_EQ(read(second[0], text, 4), 4);
  EXPECT_STREQ(text, "one\n");
  EXPECT_EQ(read(first[0], text, 4), 4);
  EXPECT_STREQ(text, "two\n");
  for (const int fd : {first[0], first[1], second[0], second[1]}) close(fd);
}

TEST(ChildProcessTest, HasNoFileOfItsParentsOpen) {
  // Without O_CLOEXEC, and out of the way of what the shell opens.
  const int leaking = fcntl(STDIN_FILENO, F_DUPFD, 100);
  ASSERT_GE(leaking, 100);
  ChildProcess child(Shell("for fd in /proc/$$/fd/*; do echo \"[${fd##*/}]\"; done"));
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  close(leaking);
  EXPECT_THAT(child.Output(), AllOf(StartsWith("[0]\n[1]\n[2]\n"),
                                    Not(HasSubstr("[" + std::to_string(leaking) + "]"))));
}

TEST(ChildProcessTest, IsInItsOwnProcessGroup) {
  ChildProcess child(Shell("echo ready; exec sleep 1000"));
  ASSERT_TRUE(child.AwaitOutput("ready", kLimit));
  EXPECT_EQ(getpgid(child.pid()), child.pid());
}

TEST(ChildProcessTest, AddsItsEnvironmentToItsParents) {
  setenv("OF_THE_PARENT", "kept", 1);
  setenv("OF_BOTH", "old", 1);
  ChildProcess child(Shell("echo $OF_THE_PARENT $OF_BOTH $ADDED"),
                     {{"OF_BOTH", "new"}, {"ADDED", "added"}});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  EXPECT_EQ(child.Output(), "kept new added\n");
}

TEST(ChildProcessTest, IsNeverBlockedByItsOutput) {
  ChildProcess child({"/usr/bin/head", "-c", "10000000", "/dev/zero"});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  EXPECT_THAT(child.Output(), SizeIs(10'000'000));
}

TEST(ChildProcessTest, OutputIsBothStreamsInTheOrderWritten) {
  ChildProcess child(Shell("echo one; echo two >&2; echo three"));
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  EXPECT_EQ(child.Output(), "one\ntwo\nthree\n");
  EXPECT_EQ(child.Output(/*from=*/4), "two\nthree\n");
}

TEST(ChildProcessTest, OutputHasBothStreams) {
  constexpr int kEach = 100'000;
  // Each writes a line at a time.
  const std::string lines = "seq " + std::to_string(kEach) + " | sed -u ''";
  ChildProcess child(Shell(lines + " & " + lines + " >&2 & wait"));
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(0));
  const std::string output = child.Output();
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 2 * kEach);
}

TEST(ChildProcessTest, AwaitOutputReturnsWhenTheTextIsThere) {
  ChildProcess child(Shell("echo ready; sleep 1000"));
  EXPECT_TRUE(child.AwaitOutput("ready\n", kLimit));
}

TEST(ChildProcessTest, AwaitOutputSeesWhatWasWrittenLast) {
  ChildProcess child(Shell("echo bye"));
  child.Wait(kLimit);
  EXPECT_TRUE(child.AwaitOutput("bye\n", milliseconds(0)));
}

TEST(ChildProcessTest, AwaitOutputEndsWithTheChild) {
  ChildProcess child(Shell("echo something else"));
  EXPECT_FALSE(child.AwaitOutput("ready", std::chrono::hours(1)));
}

TEST(ChildProcessTest, AwaitOutputGivesUpAtItsLimit) {
  ChildProcess child({"/bin/sleep", "1000"});
  EXPECT_FALSE(child.AwaitOutput("ready", milliseconds(1)));
}

TEST(ChildProcessTest, IsGoneWithTheObject) {
  pid_t pid = -1;
  {
    ChildProcess child(Shell("trap '' TERM INT; sleep 1000"));
    pid = child.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcessTest, IsKilledWhenItsParentDies) {
  std::unique_ptr<ChildProcess> child;
  // To the kernel, the parent is the thread.
  std::thread([&] {
    child = std::make_unique<ChildProcess>(Shell("echo ready; exec sleep 1000"));
    ASSERT_TRUE(child->AwaitOutput("ready", kLimit));
  }).join();
  EXPECT_EQ(child->Wait(kLimit), Ending::Killed(SIGKILL));
}

TEST(ChildProcessTest, ThatCannotStartSaysWhyAndReturns127) {
  ChildProcess child({"/no/such/program"});
  EXPECT_EQ(child.Wait(kLimit), Ending::Exited(127));
  EXPECT_THAT(child.Output(),
              AllOf(HasSubstr("/no/such/program"), EndsWith("No such file or directory\n")));
}

}  // namespace
}  // namespace testkit
