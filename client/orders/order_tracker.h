#ifndef CLIENT_ORDERS_ORDER_TRACKER_H_
#define CLIENT_ORDERS_ORDER_TRACKER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "client/connection.h"
#include "client/orders/stream_end.h"
#include "grpcpp/support/sync_stream.h"
#include "orders/v1/orders.grpc.pb.h"

namespace client {

// Follows chosen orders: delivers each one's current state, then every change.
//
// The problem: a new stream knows nothing about the ids that the broken one followed, and sends the
// current state of each again. The tracker remembers both, so nothing is missed and nothing is
// delivered twice.
//
// Threads: Add() and Remove() from any thread, also from within `on_change`; they do not wait for
// the server, which may want its answers read before it reads on. Run() on one thread, which starts
// another one that writes. Lifetime: the OrdersClient that created it outlives it.
class OrderTracker {
 public:
  // May be called before Run(), too. Adding an id that is already followed changes nothing.
  void Add(const std::vector<std::string>& order_ids);

  // Updates in transit for these ids are not delivered any more.
  void Remove(const std::vector<std::string>& order_ids);

  // Calls `on_change` with each order's current state and every change, until a stop is requested;
  // an unknown id comes with state ORDER_STATE_UNSPECIFIED. Otherwise returns as
  // OrdersClient::WatchOrders() does, but goes on when the server has removed the events that it
  // awaited (EVENTS_REMOVED). Changes that follow each other while the stream is broken are delivered
  // as one. `on_change` returns as WatchOrders()'s `on_event` does.
  StreamEnd Run(const std::function<bool(const orders::v1::Order&)>& on_change,
                std::stop_token stop = {});

 private:
  friend class OrdersClient;
  using Stream = grpc::ClientReaderWriterInterface<orders::v1::TrackOrdersRequest,
                                                   orders::v1::TrackOrdersResponse>;

  explicit OrderTracker(const Connection& connection);

  // Queues what a new stream must send first: all ids that are followed.
  void StartOver();
  // Writes what is queued, until `ended` is requested or the stream breaks.
  void Write(Stream& stream, const std::stop_token& ended);
  // Whether the order is followed and differs from what was last delivered.
  bool IsNews(const orders::v1::Order& order);
  // The order was not delivered after all.
  void Forget(const orders::v1::Order& order);

  const Connection& connection_;
  std::mutex mutex_;
  // What is followed: id -> the order as it was told last, serialized; empty: not
  // yet. Guarded by mutex_.
  std::map<std::string, std::string> told_;
  std::deque<orders::v1::TrackOrdersRequest> unsent_;  // Guarded by mutex_.
  std::condition_variable_any unsent_changed_;
};

}  // namespace client

#endif  // CLIENT_ORDERS_ORDER_TRACKER_H_
