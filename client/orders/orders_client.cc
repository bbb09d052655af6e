#include "client/orders/orders_client.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "client/error_details.h"
#include "client/retry.h"
#include "grpcpp/client_context.h"

namespace client {

using orders::v1::ImportOrdersRequest;
using orders::v1::ImportOrdersResponse;
using orders::v1::ListOrdersRequest;
using orders::v1::ListOrdersResponse;
using orders::v1::Order;
using orders::v1::OrdersService;
using orders::v1::PlaceOrderRequest;
using orders::v1::WatchOrdersResponse;

namespace {

// Orders on their way into the server: taken from the source, not known to be
// stored. A stream that follows a broken one sends them again.
class ImportWindow {
 public:
  explicit ImportWindow(const OrderSource& source) : source_(source) {}

  // The order at `index`, 0 being the first that is not known to be stored; null
  // when there is none.
  const ImportOrdersRequest* At(std::size_t index) {
    while (index >= pending_.size() && more_) {
      auto order = source_();
      more_ = order.has_value();
      if (!more_) break;
      if (order->request_id().empty()) order->set_request_id(NewRequestId());
      *pending_.emplace_back().mutable_order() = *std::move(order);
    }
    return index < pending_.size() ? &pending_[index] : nullptr;
  }

  // Takes no more from the source.
  void Close() {
    closed_early_ = closed_early_ || more_;
    more_ = false;
  }

  bool closed_early() const { return closed_early_; }
  std::int64_t size() const { return static_cast<std::int64_t>(pending_.size()); }

  // The first `count` are stored.
  void Drop(std::int64_t count) { pending_.erase(pending_.begin(), pending_.begin() + count); }

 private:
  const OrderSource& source_;
  std::deque<ImportOrdersRequest> pending_;
  bool more_ = true;
  bool closed_early_ = false;
};

// Cancels a call that has not ended so long after a stop was requested.
//
// Lifetime: `context` outlives it, and it outlives the call.
class CancelAfterStop {
 public:
  CancelAfterStop(grpc::ClientContext& context, std::stop_token stop,
                  std::chrono::milliseconds limit)
      : thread_([this, &context, stop = std::move(stop), limit](const std::stop_token& over) {
          const std::stop_callback wake(stop, [this] {
            const std::lock_guard lock(mutex_);
            changed_.notify_all();
          });
          std::unique_lock lock(mutex_);
          if (!changed_.wait(lock, over, [&stop] { return stop.stop_requested(); })) return;
          changed_.wait_for(lock, over, limit, [] { return false; });
          if (!over.stop_requested()) context.TryCancel();
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

bool SaysWhatIsStored(const absl::Status& status) {
  return status.ok() || ErrorMetadata(status, "durable_orders").has_value();
}

// How many orders of its stream the server says are stored. 0 when it does not say:
// then all of them are sent again, which changes nothing.
std::int64_t Stored(const absl::Status& status, const ImportOrdersResponse& response) {
  if (status.ok()) return response.durable_orders();
  std::int64_t stored = 0;
  return absl::SimpleAtoi(ErrorMetadata(status, "durable_orders").value_or(""), &stored) ? stored
                                                                                         : 0;
}

absl::Status Stopped() { return absl::CancelledError("stopped before the last order"); }

}  // namespace

OrderList::OrderList(Fetch fetch, int page_size) : fetch_(std::move(fetch)) {
  request_.set_page_size(page_size);
}

absl::StatusOr<std::optional<Order>> OrderList::Next() {
  while (page_.empty()) {
    if (last_page_) return std::nullopt;
    auto response = fetch_(request_);
    if (!response.ok()) return response.status();
    for (Order& order : *response->mutable_orders()) page_.push_back(std::move(order));
    request_.set_page_token(response->next_page_token());
    last_page_ = response->next_page_token().empty();
  }
  Order order = std::move(page_.front());
  page_.pop_front();
  return order;
}

absl::StatusOr<std::unique_ptr<OrdersClient>> OrdersClient::Create(const std::string& target,
                                                                   ClientOptions options) {
  auto connection =
      Connection::Create(target, std::move(options), Connection::WithoutServer::kWait);
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<OrdersClient>(new OrdersClient(*std::move(connection)));
}

OrdersClient::OrdersClient(Connection connection) : connection_(std::move(connection)) {}

absl::StatusOr<Order> OrdersClient::PlaceOrder(PlaceOrderRequest request, std::stop_token stop) {
  if (request.request_id().empty()) request.set_request_id(NewRequestId());
  auto response =
      connection_.Call<OrdersService>(&OrdersService::StubInterface::PlaceOrder, request, stop);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_order());
}

absl::StatusOr<Order> OrdersClient::GetOrder(const std::string& order_id) {
  orders::v1::GetOrderRequest request;
  request.set_order_id(order_id);
  auto response = connection_.Call<OrdersService>(&OrdersService::StubInterface::GetOrder, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_order());
}

absl::StatusOr<Order> OrdersClient::CancelOrder(const std::string& order_id) {
  orders::v1::CancelOrderRequest request;
  request.set_order_id(order_id);
  auto response =
      connection_.Call<OrdersService>(&OrdersService::StubInterface::CancelOrder, request);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_order());
}

absl::StatusOr<orders::v1::GetSalesResponse> OrdersClient::GetSales() {
  return connection_.Call<OrdersService>(&OrdersService::StubInterface::GetSales,
                                         orders::v1::GetSalesRequest());
}

OrderList OrdersClient::ListOrders(int page_size) {
  return OrderList(
      [this](const ListOrdersRequest& request) {
        return connection_.Call<OrdersService>(&OrdersService::StubInterface::ListOrders, request);
      },
      page_size);
}

StreamEnd OrdersClient::WatchOrders(
    const WatchOptions& options,
    const std::function<bool(const WatchOrdersResponse::Event&)>& on_event, std::stop_token stop) {
  Retry retry(connection_.retry(), connection_.clock(), stop);
  orders::v1::WatchOrdersRequest request;
  request.set_resume_token(options.resume_token);
  absl::Status status;
  do {
    const auto stub = OrdersService::NewStub(connection_.channel());
    grpc::ClientContext context;
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    const auto reader = stub->WatchOrders(&context, request);
    WatchOrdersResponse response;
    bool first = true;
    while (!stop.stop_requested() && reader->Read(&response)) {
      retry.Succeeded();
      // Its event is in a field that is not read any more: its token would pass it over.
      if (!std::exchange(first, false) && response.events().empty() &&
          !response.resume_token().empty()) {
        context.TryCancel();
        reader->Finish();
        return {absl::FailedPreconditionError(
                    "the server speaks an earlier version of WatchOrders: watch by a client of "
                    "that version, or bring the server up to date"),
                request.resume_token()};
      }
      if (!response.resume_token().empty()) request.set_resume_token(response.resume_token());
      for (const WatchOrdersResponse::Event& event : response.events()) {
        if (stop.stop_requested()) break;
        if (!on_event(event)) {
          context.TryCancel();
          reader->Finish();
          return {absl::OkStatus(), request.resume_token()};
        }
        request.set_resume_token(event.resume_token());
      }
    }
    status = FromGrpc(reader->Finish());
    // The last message says where to go on, whatever the goodbye says; a watch "from
    // now on" that was sent away before its first message has nothing else.
    if (request.resume_token().empty()) {
      request.set_resume_token(ErrorMetadata(status, "resume_token").value_or(""));
    }
  } while (retry.AwaitNext(status));
  return {stop.stop_requested() ? absl::OkStatus() : status, request.resume_token()};
}

ImportEnd OrdersClient::ImportOrders(const OrderSource& source, const ImportOptions& options,
                                     std::stop_token stop) {
  Retry retry(connection_.retry(), connection_.clock(), stop);
  ImportWindow window(source);
  std::int64_t durable = 0;
  std::int64_t unconfirmed = 0;  // As far as orders were sent that may or may not be stored.
  const auto tell = [&](std::int64_t sent) {
    if (options.on_progress) options.on_progress({durable, durable + sent});
  };
  const auto next = [&](std::int64_t index) {
    if (stop.stop_requested()) window.Close();
    return window.At(static_cast<std::size_t>(index));
  };
  while (next(0) != nullptr) {
    const auto stub = OrdersService::NewStub(connection_.channel());
    grpc::ClientContext context;
    ImportOrdersResponse response;
    const CancelAfterStop cancel(context, stop, options.stop_limit);
    const auto writer = stub->ImportOrders(&context, &response);
    std::int64_t sent = 0;
    while (sent < std::max(options.orders_per_stream, 1)) {
      const ImportOrdersRequest* order = next(sent);
      if (order == nullptr || !writer->Write(*order)) break;
      tell(++sent);
    }
    writer->WritesDone();
    const absl::Status status = FromGrpc(writer->Finish());
    const std::int64_t stored = Stored(status, response);
    if (stored < 0 || stored > window.size() || (status.ok() && stored < sent)) {
      return {absl::InternalError(
                  absl::StrFormat("the server says that it stored %d of %d orders", stored, sent)),
              durable, false};
    }
    if (!SaysWhatIsStored(status)) {
      // The order whose write failed may have left, too.
      unconfirmed = std::max(unconfirmed, durable + std::min(sent + 1, window.size()));
    } else if (ErrorReason(status) == "OUTCOME_UNKNOWN") {
      // That of the order behind those that are.
      unconfirmed = std::max(unconfirmed, durable + stored + 1);
    }
    durable += stored;
    window.Drop(stored);
    tell(0);
    if (stored > 0) retry.Succeeded();
    if (!status.ok() && !retry.AwaitNext(status)) {
      const bool stopped = stop.stop_requested() && Retry::MayCure(status);
      return {stopped ? Stopped() : status, durable, durable >= unconfirmed};
    }
  }
  return {window.closed_early() ? Stopped() : absl::OkStatus(), durable};
}

std::unique_ptr<OrderTracker> OrdersClient::TrackOrders() {
  return std::unique_ptr<OrderTracker>(new OrderTracker(connection_));
}

std::string NewRequestId() {
  std::array<std::uint32_t, 4> word;
  // The kernel gives so few bytes whole, and waits for nothing once the machine has started.
  if (getrandom(word.data(), sizeof word, 0) != sizeof word) {
    std::perror("the operating system has no random bits: getrandom");
    std::abort();
  }
  // Version 4, variant 1: RFC 4122.
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", word[0], word[1] >> 16, word[1] & 0xfff,
                         0x8000 | (word[2] >> 16 & 0x3fff), word[2] & 0xffff, word[3]);
}

}  // namespace client
