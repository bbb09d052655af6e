#include "service/postgres/listener.h"

#include <atomic>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "service/postgres/testing/server_under_test.h"
#include "tests/common/eventually.h"

namespace postgres {
namespace {

class ListenerTest : public ServerUnderTest {
 protected:
  bool Told(int times) {
    return testkit::Eventually([&] { return told_ >= times; });
  }
  void Notify() {
    EXPECT_TRUE(Connect()->Query(Statement("SELECT pg_notify('news', '')"), Soon()).ok());
  }

  std::atomic<int> told_ = 0;
};

TEST_F(ListenerTest, TellsOfEachNotification) {
  Listener listener(url(), "news", [this] { ++told_; });
  ASSERT_TRUE(Told(1)) << "when it has begun to listen";
  Notify();
  ASSERT_TRUE(Told(2));
  Notify();
  EXPECT_TRUE(Told(3));
}

TEST_F(ListenerTest, ReportsALostConnectionAndListeningAgain) {
  Listener listener(url(), "news", [this] { ++told_; });
  ASSERT_TRUE(Told(1));
  server_->Kill();
  ASSERT_TRUE(Told(2));
  ASSERT_TRUE(server_->StartAgain().ok());
  ASSERT_TRUE(Told(3));
  Notify();
  EXPECT_TRUE(Told(4));
}

TEST_F(ListenerTest, TellsNothingAfterItWasClosed) {
  Listener listener(url(), "news", [this] { ++told_; });
  ASSERT_TRUE(Told(1));
  EXPECT_TRUE(listener.Close(Soon()).ok());
  const int told = told_;
  Notify();
  EXPECT_EQ(told_, told);
  EXPECT_TRUE(listener.Close(Soon()).ok()) << "closing twice is fine";
}

TEST_F(ListenerTest, ClosesWhileTheServerIsFrozen) {
  Listener listener(url(), "news", [this] { ++told_; });
  ASSERT_TRUE(Told(1));
  server_->Pause();
  const absl::Status closed = listener.Close(Soon());
  server_->Resume();
  EXPECT_TRUE(closed.ok()) << closed;
}

}  // namespace
}  // namespace postgres
