#include "service/sqlite/turnstile.h"

#include <chrono>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

using Clock = std::chrono::steady_clock;

class TurnstileTest : public ::testing::Test {
 protected:
  TurnstileTest() {}

  std::unique_ptr<Turnstile> Open() { return *Turnstile::Open(directory_.File("turn")); }

  const testkit::TempDir directory_;
};

TEST_F(TurnstileTest, LetsOneInAtATime) {
  const auto one = Open();
  const auto other = Open();
  EXPECT_TRUE(one->Enter(Clock::now()));
  EXPECT_FALSE(other->Enter(Clock::now()));
  one->Leave();
  EXPECT_TRUE(other->Enter(Clock::now()));
  EXPECT_FALSE(one->Enter(Clock::now()));
}

TEST_F(TurnstileTest, AdmitsTheNextWhenItsHolderDies) {
  auto one = Open();
  const auto other = Open();
  ASSERT_TRUE(one->Enter(Clock::now()));
  std::thread waiting([&] { EXPECT_TRUE(other->Enter(Clock::time_point::max())); });
  one.reset();
  waiting.join();
}

TEST_F(TurnstileTest, SaysWhereItCannotBe) {
  EXPECT_TRUE(absl::IsPermissionDenied(Turnstile::Open(directory_.File("nowhere/turn")).status()));
}

}  // namespace
}  // namespace sqlite
