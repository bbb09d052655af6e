#ifndef SERVICE_ORDERS_WATCH_ORDERS_H_
#define SERVICE_ORDERS_WATCH_ORDERS_H_

#include <cstdint>
#include <string>

#include "grpcpp/support/byte_buffer.h"
#include "service/orders/event_cursor.h"
#include "service/rpc/stream.h"

namespace orders {

// One WatchOrders call: sends the order log from a position on, for ever, until
// the caller leaves or the server drains; then says where to go on. Its messages are
// serialised by the feed.
class WatchOrders final : public rpc::ServerStream<grpc::ByteBuffer> {
 public:
  // `request`: a WatchOrdersRequest.
  WatchOrders(const grpc::ByteBuffer& request, OrderStore& store, EventFeed& feed,
              rpc::BlockingPool& pool);

 private:
  bool Next(grpc::ByteBuffer& message) override;
  rpc::ResumePoint Goodbye() override;

  // After which event the caller wants to go on. Ends the stream when that is unclear.
  std::int64_t Position(const grpc::ByteBuffer& request, const EventFeed& feed);

  const std::string database_;
  bool stands_ = false;  // Its caller was told so.
  EventCursor cursor_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_WATCH_ORDERS_H_
