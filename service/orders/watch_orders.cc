#include "service/orders/watch_orders.h"

#include <memory>
#include <string>
#include <utility>

#include "orders/v1/orders.pb.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/rpc/bytes.h"

namespace orders {

WatchOrders::WatchOrders(const grpc::ByteBuffer& request, OrderStore& store, EventFeed& feed,
                         rpc::BlockingPool& pool)
    : database_(store.DatabaseId()),
      cursor_(Position(request, feed), store, feed, pool, handle()) {}

std::int64_t WatchOrders::Position(const grpc::ByteBuffer& bytes, const EventFeed& feed) {
  v1::WatchOrdersRequest request;
  if (!rpc::FromBytes(bytes, request)) EndUndecodable();
  if (request.resume_token().empty()) return feed.last_sequence();
  if (request.resume_token() == "start") return 0;
  const auto position = ReadToken(TokenKind::kWatch, database_, request.resume_token());
  if (!position) End(BadToken("resume_token"));
  return position.value_or(0);
}

bool WatchOrders::Next(grpc::ByteBuffer& message) {
  if (!std::exchange(stands_, true)) {
    v1::WatchOrdersResponse response;
    response.set_resume_token(MakeToken(TokenKind::kWatch, database_, cursor_.sequence()));
    message = rpc::ToBytes(response);
    return true;
  }
  const absl::StatusOr<std::shared_ptr<const FeedEvent>> event = cursor_.Next();
  if (!event.ok()) End(event.status());
  if (!event.ok() || *event == nullptr) return false;
  message = (*event)->response;
  return true;
}

rpc::ResumePoint WatchOrders::Goodbye() {
  return {"orders.v1",
          {{"resume_token", MakeToken(TokenKind::kWatch, database_, cursor_.sequence())}}};
}

}  // namespace orders
