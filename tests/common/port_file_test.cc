#include "tests/common/port_file.h"

#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/temp_dir.h"

namespace testkit {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Only how long a broken test takes to fail.
constexpr seconds kLimit{30};

class AwaitPortFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> Shell(const std::string& script) {
    return {"/bin/sh", "-c", script, "sh", path_};
  }

  const TempDir directory_;
  const std::string path_ = directory_.File("port");
};

TEST_F(AwaitPortFileTest, ReturnsWhatTheServerWrote) {
  ChildProcess server(Shell("sleep 0.05; echo 127.0.0.1:1234 >\"$1\"; sleep 1000"));
  const absl::StatusOr<std::string> address = AwaitPortFile(path_, server, kLimit);
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(*address, "127.0.0.1:1234");
}

TEST_F(AwaitPortFileTest, IsNotContentWithHalfALine) {
  ChildProcess server(
      Shell("printf 127.0.0.1:12 >\"$1\"; echo half; sleep 0.05; echo 34 >>\"$1\"; sleep 1000"));
  ASSERT_TRUE(server.AwaitOutput("half", kLimit));
  const absl::StatusOr<std::string> address = AwaitPortFile(path_, server, kLimit);
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(*address, "127.0.0.1:1234");
}

TEST_F(AwaitPortFileTest, FailsAtOnceWhenTheServerHasEnded) {
  ChildProcess server(Shell("echo cannot bind >&2; exit 2"));
  const absl::StatusOr<std::string> address = AwaitPortFile(path_, server, std::chrono::hours(1));
  EXPECT_EQ(address.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(address.status().message()),
              AllOf(HasSubstr("exit code 2"), HasSubstr("cannot bind")));
}

TEST_F(AwaitPortFileTest, FailsOnceItIsToGiveUp) {
  ChildProcess server(Shell("exec sleep 1000"));
  int asked = 0;
  const absl::StatusOr<std::string> address =
      AwaitPortFile(path_, server, std::chrono::hours(1), [&asked] { return ++asked == 3; });
  EXPECT_EQ(address.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(AwaitPortFileTest, FailsWhenTheServerIsLate) {
  ChildProcess server(Shell("echo thinking; exec sleep 1000"));
  ASSERT_TRUE(server.AwaitOutput("thinking", kLimit));
  const absl::StatusOr<std::string> address = AwaitPortFile(path_, server, milliseconds(10));
  EXPECT_EQ(address.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(address.status().message()), HasSubstr("thinking"));
}

}  // namespace
}  // namespace testkit
