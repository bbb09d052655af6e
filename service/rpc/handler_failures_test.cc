#include "service/rpc/handler_failures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Heard final : public HandlerFailures {
 public:
  void Threw(const std::string& what) override { told.push_back(what); }
  void Undecodable() override { told.push_back("undecodable"); }

  std::vector<std::string> told;
};

TEST(HandlerFailuresTest, BelongToTheInnermostHandlerOfTheirThread) {
  const auto outer = std::make_shared<Heard>();
  const auto inner = std::make_shared<Heard>();
  const std::shared_ptr<HandlerFailures> announced = outer;
  const std::shared_ptr<HandlerFailures> announced_within = inner;
  {
    const HandlerFailures::Running running(announced);
    {
      const HandlerFailures::Running within(announced_within);
      HandlerFailures::Current()->Undecodable();
    }
    EXPECT_EQ(HandlerFailures::Current(), outer);
    std::jthread([] { HandlerFailures::Current()->Threw("elsewhere"); });
  }
  HandlerFailures::Current()->Threw("in no handler");
  EXPECT_THAT(outer->told, IsEmpty());
  EXPECT_THAT(inner->told, ElementsAre("undecodable"));
}

TEST(HandlerFailuresTest, AreToldWhatWasThrown) {
  Heard heard;
  EXPECT_TRUE(heard.Survives([] {}));
  EXPECT_FALSE(heard.Survives([] { throw std::runtime_error("out of luck"); }));
  EXPECT_FALSE(heard.Survives([] { throw 42; }));
  EXPECT_THAT(heard.told, ElementsAre("out of luck", "not a std::exception"));
}

}  // namespace
}  // namespace rpc
