#include "service/rpc/guarded_method.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Heard final : public GuardedMethod {
 public:
  void Threw(const std::string& what) override { told.push_back(what); }
  void Undecodable() override { told.push_back("undecodable"); }

  std::vector<std::string> told;
};

TEST(GuardedMethodTest, IsThatOfTheInnermostHandlerOnItsThread) {
  const auto outer = std::make_shared<Heard>();
  const auto inner = std::make_shared<Heard>();
  const std::shared_ptr<GuardedMethod> announced = outer;
  const std::shared_ptr<GuardedMethod> announced_within = inner;
  {
    const GuardedMethod::Running running(announced);
    {
      const GuardedMethod::Running within(announced_within);
      GuardedMethod::Current()->Undecodable();
    }
    EXPECT_EQ(GuardedMethod::Current(), outer);
    std::jthread([] { GuardedMethod::Current()->Threw("elsewhere"); });
  }
  GuardedMethod::Current()->Threw("in no handler");
  EXPECT_THAT(outer->told, IsEmpty());
  EXPECT_THAT(inner->told, ElementsAre("undecodable"));
}

TEST(GuardedMethodTest, KnowsNothingWhereNothingIsGuarded) {
  EXPECT_FALSE(GuardedMethod::Current()->Goodbye().stop_possible());
  EXPECT_EQ(GuardedMethod::Current()->Package(), "");
}

TEST(GuardedMethodTest, TellsStderrWhatWasThrownWhereNothingIsGuarded) {
  ::testing::internal::CaptureStderr();
  const std::shared_ptr<GuardedMethod> unguarded = GuardedMethod::Current();
  EXPECT_FALSE(unguarded->Survives([] { throw std::runtime_error("out\nof \x1B[31mluck"); }));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "a handler failed that nobody guards: out of  [31mluck\n");
}

TEST(GuardedMethodTest, WhatIsNotGuardedHidesNobodyWhoListens) {
  const std::shared_ptr<GuardedMethod> unguarded = GuardedMethod::Current();
  const std::shared_ptr<GuardedMethod> listens = std::make_shared<Heard>();
  const GuardedMethod::Running running(unguarded);
  EXPECT_EQ(GuardedMethod::CurrentOr(listens), listens);
}

TEST(GuardedMethodTest, IsToldWhatWasThrown) {
  Heard heard;
  EXPECT_TRUE(heard.Survives([] {}));
  EXPECT_FALSE(heard.Survives([] { throw std::runtime_error("out of luck"); }));
  EXPECT_FALSE(heard.Survives([] { throw 42; }));
  EXPECT_THAT(heard.told, ElementsAre("out of luck", "not a std::exception"));
}

}  // namespace
}  // namespace rpc
