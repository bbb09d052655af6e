#include "service/rpc/connections/inherited_sockets.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Environment = std::map<std::string, std::string>;

absl::StatusOr<std::shared_ptr<InheritedSockets>> From(const Environment& environment) {
  return InheritedSockets::FromEnvironment([&](const char* variable) -> const char* {
    const auto found = environment.find(variable);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

std::string Myself() { return absl::StrCat(getpid()); }

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// Descriptors 3 and 4, as systemd passes them. What was there is there again at the end.
class PassedTest : public ::testing::Test {
 protected:
  PassedTest() {
    for (int i = 0; i < 2; ++i) {
      before_[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 100);
      const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (nothing != 3 + i) {
        dup2(nothing, 3 + i);
        close(nothing);
      }
    }
  }
  ~PassedTest() override {
    for (int i = 0; i < 2; ++i) {
      if (before_[i] < 0) {
        close(3 + i);
      } else {
        dup2(before_[i], 3 + i);
        close(before_[i]);
      }
    }
  }

 private:
  int before_[2];
};

TEST(InheritedSockets, AreNoneUnlessPassedToThisProcess) {
  EXPECT_EQ((*From({}))->Describe(), "no socket was passed");
  EXPECT_EQ((*From({{"LISTEN_PID", "1"}, {"LISTEN_FDS", "2"}}))->Describe(),
            "no socket was passed");
  EXPECT_EQ((*From({{"LISTEN_PID", Myself()}, {"LISTEN_FDS", "0"}}))->Describe(),
            "no socket was passed");
}

TEST_F(PassedTest, AreCalledByNameAndByNumber) {
  const auto inherited =
      From({{"LISTEN_PID", Myself()}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "orders:admin"}});
  ASSERT_TRUE(inherited.ok()) << inherited.status();
  EXPECT_EQ((*inherited)->Describe(), "fd:orders and fd:admin were passed");
  EXPECT_EQ((*inherited)->FirstNotIn({"fd:orders", "127.0.0.1:0", "fd:4"}), "");
  EXPECT_EQ((*inherited)->FirstNotIn({"fd:orders"}), "fd:admin");
  EXPECT_TRUE((*inherited)->Has("fd:3"));
  EXPECT_THAT((*inherited)->Take("fd:orders"), ElementsAre(3));
  EXPECT_THAT((*inherited)->Take("fd:3"), IsEmpty());
  EXPECT_THAT((*inherited)->Take("fd:4"), ElementsAre(4));
}

TEST_F(PassedTest, OfOneNameAreTakenTogether) {
  const auto inherited =
      From({{"LISTEN_PID", Myself()}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "orders:orders"}});
  ASSERT_TRUE(inherited.ok()) << inherited.status();
  EXPECT_THAT((*inherited)->Take("fd:orders"), ElementsAre(3, 4));
}

TEST_F(PassedTest, WithoutNamesHaveNumbers) {
  const auto inherited = From({{"LISTEN_PID", Myself()}, {"LISTEN_FDS", "2"}});
  ASSERT_TRUE(inherited.ok()) << inherited.status();
  EXPECT_THAT((*inherited)->Take("fd:3"), ElementsAre(3));
}

TEST_F(PassedTest, ThatNobodyTakesAreClosed) {
  {
    const auto inherited = From({{"LISTEN_PID", Myself()}, {"LISTEN_FDS", "2"}});
    ASSERT_TRUE(inherited.ok()) << inherited.status();
    EXPECT_THAT((*inherited)->Take("fd:3"), ElementsAre(3));
  }
  EXPECT_TRUE(IsOpen(3));
  EXPECT_FALSE(IsOpen(4));
}

TEST_F(PassedTest, ThatMakeNoSenseAreNamed) {
  const std::string myself = Myself();
  for (const char* count : {"", "two", "-1", "1000000"}) {
    const auto inherited = From({{"LISTEN_PID", myself}, {"LISTEN_FDS", count}});
    EXPECT_TRUE(absl::IsInvalidArgument(inherited.status())) << count;
    EXPECT_THAT(std::string(inherited.status().message()),
                HasSubstr(absl::StrCat("LISTEN_FDS=", count, ": ")));
  }
  EXPECT_THAT(
      std::string(From({{"LISTEN_PID", myself}, {"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "orders"}})
                      .status()
                      .message()),
      HasSubstr("LISTEN_FDNAMES=orders: not as many names"));
  EXPECT_THAT(std::string(From({{"LISTEN_PID", myself}, {"LISTEN_FDS", "900"}}).status().message()),
              AllOf(HasSubstr("LISTEN_FDS=900: descriptor "), HasSubstr(" is not open")));
}

}  // namespace
}  // namespace rpc
