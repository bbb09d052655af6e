#include "service/rpc/reachability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <vector>

namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReachabilityTest : public ::testing::Test {
 protected:
  ReachabilityTest() {
    for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) unsetenv(name);
  }
  void Hear(grpc::StatusCode code, const std::string& details = "") {
    reachability_.Heard({code, "connection refused", details});
  }

  std::vector<std::string> lines_;
  Reachability reachability_{"inventory:1",
                             [this](const std::string& line) { lines_.push_back(line); }};
};

TEST_F(ReachabilityTest, IsToldOnceForEachChange) {
  for (const grpc::StatusCode code :
       {grpc::UNAVAILABLE, grpc::UNAVAILABLE, grpc::OK, grpc::NOT_FOUND, grpc::UNAVAILABLE}) {
    Hear(code);
  }
  EXPECT_THAT(lines_, ElementsAre("inventory:1 cannot be reached: connection refused",
                                  "inventory:1 can be reached again",
                                  "inventory:1 cannot be reached: connection refused"));
}

TEST_F(ReachabilityTest, IsUnknownFromCallsCutShort) {
  Hear(grpc::CANCELLED);
  Hear(grpc::DEADLINE_EXCEEDED);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(ReachabilityTest, ABusyBackendIsReachable) {
  Hear(grpc::UNAVAILABLE, "details");
  EXPECT_THAT(lines_, ElementsAre("inventory:1 can be reached"));
}

TEST_F(ReachabilityTest, NamesAProxyWithoutItsPassword) {
  setenv("http_proxy", "http://user:password@proxy", 1);
  Hear(grpc::UNAVAILABLE);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("http_proxy is set")));
  EXPECT_THAT(lines_, ElementsAre(::testing::Not(HasSubstr("password"))));
}

}  // namespace
}  // namespace rpc
