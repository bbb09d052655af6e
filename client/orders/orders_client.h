#ifndef CLIENT_ORDERS_ORDERS_CLIENT_H_
#define CLIENT_ORDERS_ORDERS_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "client/orders/order_tracker.h"
#include "client/orders/stream_end.h"
#include "orders/v1/orders.grpc.pb.h"

namespace client {

struct WatchOptions {
  // Empty: from now on. "start": from the first event. Otherwise a token of an earlier watch.
  std::string resume_token = {};
};

// The next order to import; unset: there are no more.
using OrderSource = std::function<std::optional<orders::v1::PlaceOrderRequest>()>;

struct ImportProgress {
  // How many orders, counted from the first, are certainly stored.
  std::int64_t durable = 0;
  // How many are sent, including stored ones. Falls back when a stream breaks.
  std::int64_t sent = 0;
};

struct ImportOptions {
  // After this many orders the stream is ended, which makes the server confirm that they are
  // stored, and another one begins. It is also how many orders are kept in memory, and at most how
  // many are sent twice when a stream breaks without a word.
  int orders_per_stream = 1000;
  std::function<void(const ImportProgress&)> on_progress = nullptr;
  // How long the server may take to say how much is stored, once a stop is requested.
  std::chrono::milliseconds stop_limit{10000};
};

struct ImportEnd {
  // OK: every order is stored. CANCELLED: a stop was requested before the source ran out.
  absl::Status status;
  // How many orders, counted from the first, are stored. If one was refused, it is the next one.
  std::int64_t durable_orders = 0;
  // Whether that is all: what a stream that broke without a word had sent, or what the server itself
  // does not know (OUTCOME_UNKNOWN), and no later stream has confirmed, may be stored, too. The same
  // source finds out.
  bool exact = true;
};

// All orders, oldest first; fetches the next page when the current one is used up.
//
// Threads: one at a time. Lifetime: its OrdersClient outlives it.
class OrderList {
 public:
  // Unset: there are no more. After an error, the next call asks for the same page again.
  absl::StatusOr<std::optional<orders::v1::Order>> Next();

 private:
  friend class OrdersClient;
  using Fetch = std::function<absl::StatusOr<orders::v1::ListOrdersResponse>(
      const orders::v1::ListOrdersRequest&)>;
  OrderList(Fetch fetch, int page_size);

  const Fetch fetch_;
  orders::v1::ListOrdersRequest request_;
  std::deque<orders::v1::Order> page_;
  bool last_page_ = false;
};

// Calls orders.v1.OrdersService (proto/orders/v1/orders.proto) as its contract expects: with
// deadlines, with retries that cannot do anything twice, and with streams that resume where they
// broke.
//
// The problem: servers shut down, restart and die, and each kind of call survives that in its own
// way. That is written once, here; code that uses this client never sees a draining server.
//
// Errors: absl::Status with the server's code, message and google.rpc details;
// client/error_details.h reads them.
//
// Threads: all methods may be called from any thread; each blocks until it is done.
// Lifetime: outlives the lists and trackers that it created.
class OrdersClient {
 public:
  // See Connection::Create().
  static absl::StatusOr<std::unique_ptr<OrdersClient>> Create(const std::string& target,
                                                              ClientOptions options = {});

  // Places one order. A request without request_id gets a new one; to repeat the call after an
  // error that leaves the outcome open, set it yourself (NewRequestId()). A stop is such an error:
  // CANCELLED.
  absl::StatusOr<orders::v1::Order> PlaceOrder(orders::v1::PlaceOrderRequest request,
                                               std::stop_token stop = {});

  absl::StatusOr<orders::v1::Order> GetOrder(const std::string& order_id);

  // Cancels an order, confirmed or not; cancelling it again changes nothing.
  absl::StatusOr<orders::v1::Order> CancelOrder(const std::string& order_id);

  absl::StatusOr<orders::v1::GetSalesResponse> GetSales();

  // `page_size` 0: the server decides.
  OrderList ListOrders(int page_size = 0);

  // Calls `on_event` for every event, in order, each exactly once, until a stop is requested:
  // across drains, restarts and broken connections, and whatever proxies make of them. Otherwise
  // returns only with an error that retrying cannot cure, or when the server was away for longer
  // than RetryOptions::give_up_after. FAILED_PRECONDITION: the server speaks an earlier version, whose
  // events cannot be read.
  //
  // `on_event` returns whether the event was taken. If not, the watch ends with OK, and would be
  // resumed with that event. After a stop is requested, `on_event` is not called again.
  StreamEnd WatchOrders(
      const WatchOptions& options,
      const std::function<bool(const orders::v1::WatchOrdersResponse::Event&)>& on_event,
      std::stop_token stop = {});

  // Places all orders of `source`, each exactly once, in order. Orders without request_id get one.
  // Ends at the first order that is refused.
  //
  // When a stop is requested, nothing more is taken from `source`, and the server is asked how much
  // is stored; it has ImportOptions::stop_limit to answer.
  ImportEnd ImportOrders(const OrderSource& source, const ImportOptions& options = {},
                         std::stop_token stop = {});

  // See OrderTracker.
  std::unique_ptr<OrderTracker> TrackOrders();

 private:
  explicit OrdersClient(Connection connection);

  const Connection connection_;
};

// A random UUID.
std::string NewRequestId();

}  // namespace client

#endif  // CLIENT_ORDERS_ORDERS_CLIENT_H_
