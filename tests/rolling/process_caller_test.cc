#include "tests/rolling/process_caller.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/eventually.h"

namespace rolling {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A caller that is a shell script.
class ProcessCallerTest : public ::testing::Test {
 protected:
  // `tells`: what it writes before it waits for SIGTERM; so many lines of that count as
  // answers. `at_sigterm`: what it does then.
  void Run(const std::string& tells, int answers, const std::string& at_sigterm = "exit 0") {
    const std::string script =
        "trap '" + at_sigterm + "' TERM\n" + tells + "\nwhile :; do sleep 0.01; done";
    ProcessCaller caller("shell", {"/bin/sh", "-c", script}, {{"WORD", "out of stock"}}, evidence_,
                         &told_);
    caller.Start();
    ASSERT_TRUE(testkit::Eventually([&] {
      caller.Look();
      return caller.counts().answered >= answers;
    }));
    caller.AskToStop();
    caller.AwaitStopped();
    counts_ = caller.counts();
    failures_ = caller.failures();
  }

  Evidence evidence_;
  Journal<Event> told_;
  Counts counts_;
  std::vector<std::string> failures_;
};

TEST_F(ProcessCallerTest, CountsWhatItIsTold) {
  Run("echo resumed; echo failed GetOrder $WORD; echo hello; echo answered; echo answered by me",
      /*answers=*/2);
  EXPECT_EQ(counts_, (Counts{.answered = 2, .failed = 1, .resumed = 1}));
  EXPECT_THAT(failures_, ElementsAre("GetOrder out of stock"));
}

TEST_F(ProcessCallerTest, RemembersOrdersAndEvents) {
  Run("echo order r1 o1; echo event o1 2", /*answers=*/2);
  EXPECT_EQ(counts_, (Counts{.answered = 2}));
  ASSERT_THAT(evidence_.acknowledged.All(), SizeIs(1));
  EXPECT_EQ(evidence_.acknowledged.All().front().request_id, "r1");
  EXPECT_EQ(evidence_.acknowledged.All().front().order_id, "o1");
  EXPECT_THAT(told_.All(), ElementsAre(Event{"o1", orders::v1::ORDER_STATE_CONFIRMED}));
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(ProcessCallerTest, ACallerThatEndsBadlyHasFailed) {
  Run("echo answered", /*answers=*/1, "echo oh no; exit 7");
  EXPECT_EQ(counts_.failed, 1);
  EXPECT_THAT(failures_, ElementsAre(AllOf(HasSubstr("exit code 7"), HasSubstr("oh no"))));
}

TEST_F(ProcessCallerTest, ACallerThatEndsByItselfHasFailed) {
  ProcessCaller caller("shell", {"/bin/sh", "-c", "echo oh no"}, {}, evidence_, &told_);
  caller.Start();
  caller.AwaitStopped();
  EXPECT_EQ(caller.counts().failed, 1);
  EXPECT_THAT(caller.failures(), ElementsAre(AllOf(HasSubstr("too soon"), HasSubstr("oh no"))));
}

}  // namespace
}  // namespace rolling
