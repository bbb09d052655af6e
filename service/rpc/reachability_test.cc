#include "service/rpc/reachability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
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
  Hear(grpc::UNAVAILABLE);
  Hear(grpc::UNAVAILABLE, "details");
  EXPECT_THAT(lines_, ElementsAre("inventory:1 cannot be reached: connection refused",
                                  "inventory:1 can be reached again"));
}

// The lines are warnings.
TEST_F(ReachabilityTest, IsNoNewsFromTheFirstCall) {
  Hear(grpc::OK);
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(ReachabilityTest, IsNewsOnceSomebodyElseHasSaidThatItIsNot) {
  reachability_.SaidUnreachable();
  Hear(grpc::UNAVAILABLE);
  Hear(grpc::OK);
  EXPECT_THAT(lines_, ElementsAre("inventory:1 can be reached again"));
}

// One call has failed, and while that is being written another one succeeds.
TEST_F(ReachabilityTest, SaysTheTruthLast) {
  std::vector<std::string> lines;
  bool first = true;
  std::binary_semaphore writes{0};
  std::binary_semaphore heard{0};
  Reachability reachability("inventory:1", [&](const std::string& line) {
    if (std::exchange(first, false)) {
      writes.release();
      heard.try_acquire_for(std::chrono::milliseconds(200));  // Not while this is being written.
    }
    lines.push_back(line);
  });
  std::jthread fails([&] { reachability.Heard({grpc::UNAVAILABLE, "connection refused"}); });
  writes.acquire();
  reachability.Heard(grpc::Status());
  heard.release();
  fails.join();
  EXPECT_THAT(lines, ElementsAre("inventory:1 cannot be reached: connection refused",
                                 "inventory:1 can be reached again"));
}

TEST_F(ReachabilityTest, NamesAProxyWithoutItsPassword) {
  setenv("http_proxy", "http://user:password@proxy", 1);
  Hear(grpc::UNAVAILABLE);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("http_proxy is set")));
  EXPECT_THAT(lines_, ElementsAre(::testing::Not(HasSubstr("password"))));
}

}  // namespace
}  // namespace rpc
