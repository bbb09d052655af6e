#include "service/orders/watch_orders.h"

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "grpcpp/support/slice.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/rpc/bytes.h"

namespace orders {
namespace {

// A message takes no more events when it has that many bytes.
constexpr std::size_t kEnough = 32 * 1024;

}  // namespace

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
  std::vector<grpc::Slice> events;
  for (std::size_t bytes = 0; bytes < kEnough; bytes += events.back().size()) {
    const absl::StatusOr<std::shared_ptr<const FeedEvent>> event = cursor_.Next();
    // Told of when what came before it is: the cursor says it again.
    if (!event.ok() && events.empty()) End(event.status());
    if (!event.ok() || *event == nullptr) break;
    events.push_back((*event)->response);
  }
  message = grpc::ByteBuffer(events.data(), events.size());
  return !events.empty();
}

rpc::ResumePoint WatchOrders::Goodbye() {
  return {"orders.v1",
          {{"resume_token", MakeToken(TokenKind::kWatch, database_, cursor_.sequence())}}};
}

}  // namespace orders
