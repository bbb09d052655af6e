#include "service/orders/demo/watcher.h"

#include <future>

#include "client/orders/testing/fake_shop.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"

namespace demo {
namespace {

using orders::v1::WatchOrdersRequest;

TEST(WatcherTest, HasSeenAnOrderOnceItsEventHasCome) {
  std::promise<void> go_on;
  std::promise<void> over;
  client::FakeShop shop;
  shop.orders.watch
      .Then([&](const WatchOrdersRequest&, client::FakeOrders::Watch& writer) {
        client::SendEvents(writer, 1, 2);
        go_on.get_future().wait();
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server has gone");
      })
      .Then([&](const WatchOrdersRequest& request, client::FakeOrders::Watch& writer) {
        EXPECT_EQ(request.resume_token(), "2");
        client::SendEvents(writer, 3, 3);
        over.get_future().wait();
        return grpc::Status::OK;
      });
  const auto watcher = *Watcher::Create(shop.address());
  EXPECT_TRUE(testkit::Eventually([&] { return watcher->seen() == 2; }));
  EXPECT_TRUE(watcher->HasSeen("1"));
  EXPECT_TRUE(watcher->HasSeen("2"));
  EXPECT_FALSE(watcher->HasSeen("3"));
  go_on.set_value();
  EXPECT_TRUE(testkit::Eventually([&] { return watcher->HasSeen("3"); }));
  over.set_value();
}

}  // namespace
}  // namespace demo
