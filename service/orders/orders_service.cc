#include "service/orders/orders_service.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "service/orders/import_orders.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/orders/track_orders.h"
#include "service/orders/watch_orders.h"
#include "service/rpc/field_length.h"
#include "service/rpc/status.h"
#include "service/rpc/stream.h"
#include "service/rpc/unary.h"

namespace orders {
namespace {

// As orders.proto says.
constexpr int kUsualPage = 50;
constexpr int kLargestPage = 500;
// What gRPC clients accept, with room for the rest of the message.
constexpr std::size_t kMaxPageBytes = 4'000'000;
// A page of the largest orders that are allowed is divided by this until it fits.
constexpr int kPageDivisor = 4;

// At most `size` orders, and fewer where they would be too large to be received.
absl::StatusOr<OrderStore::Page> ListWhatFits(OrderStore& store, std::int64_t from, int size,
                                              OrderStore::Deadline deadline) {
  for (;; size /= kPageDivisor) {
    absl::StatusOr<OrderStore::Page> page = store.List(from, size, deadline);
    if (!page.ok() || size < kPageDivisor) return page;
    std::size_t bytes = 0;
    for (const v1::Order& order : page->orders) bytes += order.ByteSizeLong();
    if (bytes <= kMaxPageBytes) return page;
  }
}

absl::Status ValidateId(const std::string& order_id) {
  rpc::BadRequest wrong;
  rpc::RequireNoNul(wrong, "order_id", order_id);
  return wrong.ToStatus();
}

absl::Status Get(OrderStore& store, const rpc::Call& call, const v1::GetOrderRequest& request,
                 v1::GetOrderResponse& response) {
  if (absl::Status wrong = ValidateId(request.order_id()); !wrong.ok()) return wrong;
  absl::StatusOr<std::optional<v1::Order>> order =
      store.Find(request.order_id(), call.DeadlineWithin(OrderStore::kTimeout));
  if (!order.ok()) return FromStore(order.status());
  if (!*order) return UnknownOrder(request.order_id());
  *response.mutable_order() = **std::move(order);
  return absl::OkStatus();
}

absl::Status List(OrderStore& store, const rpc::Call& call, const v1::ListOrdersRequest& request,
                  v1::ListOrdersResponse& response) {
  if (request.page_size() < 0) {
    rpc::BadRequest wrong;
    wrong.Add("page_size", "must not be negative");
    return wrong.ToStatus();
  }
  const int size =
      request.page_size() == 0 ? kUsualPage : std::min(request.page_size(), kLargestPage);
  std::int64_t from = 0;
  if (!request.page_token().empty()) {
    const auto position = ReadToken(TokenKind::kPage, store.DatabaseId(), request.page_token());
    if (!position) return BadToken("page_token");
    from = *position;
  }
  absl::StatusOr<OrderStore::Page> page =
      ListWhatFits(store, from, size, call.DeadlineWithin(OrderStore::kTimeout));
  if (!page.ok()) return FromStore(page.status());
  for (v1::Order& order : page->orders) *response.add_orders() = std::move(order);
  if (page->next != 0) {
    response.set_next_page_token(MakeToken(TokenKind::kPage, store.DatabaseId(), page->next));
  }
  return absl::OkStatus();
}

absl::Status Cancel(OrderStore& store, const rpc::Call& call, const v1::CancelOrderRequest& request,
                    v1::CancelOrderResponse& response) {
  if (absl::Status wrong = ValidateId(request.order_id()); !wrong.ok()) return wrong;
  absl::StatusOr<v1::Order> order =
      store.Cancel(request.order_id(), call.DeadlineWithin(OrderStore::kTimeout));
  if (absl::IsNotFound(order.status())) return UnknownOrder(request.order_id());
  if (absl::IsUnimplemented(order.status())) return OrderIsConfirmed(request.order_id());
  if (!order.ok()) return FromStore(order.status());
  *response.mutable_order() = *std::move(order);
  return absl::OkStatus();
}

void Show(const SalesTotals& totals, v1::GetSalesResponse& response) {
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    v1::Sales& sales = *response.add_sales();
    sales.set_sku(sku);
    sales.set_quantity(quantity);
  }
  response.set_sequence(totals.sequence);
}

}  // namespace

OrdersService::OrdersService(OrderStore& store, OrderPlacer& placer, EventFeed& feed,
                             const Sales& sales, rpc::BlockingPool& pool)
    : store_(store), placer_(placer), feed_(feed), sales_(sales), pool_(pool) {}

grpc::ServerUnaryReactor* OrdersService::PlaceOrder(grpc::CallbackServerContext* context,
                                                    const v1::PlaceOrderRequest* request,
                                                    v1::PlaceOrderResponse* response) {
  return rpc::AnswerLater(context, response, [=, this](const auto& answer) {
    placer_.Place(*context, *request, [response, answer](absl::StatusOr<v1::Order> placed) {
      if (placed.ok()) *response->mutable_order() = *std::move(placed);
      answer(placed.status());
    });
  });
}

grpc::ServerUnaryReactor* OrdersService::GetOrder(grpc::CallbackServerContext* context,
                                                  const v1::GetOrderRequest* request,
                                                  v1::GetOrderResponse* response) {
  return rpc::AnswerFromPool(pool_, context,
                             [=, this] { return Get(store_, *context, *request, *response); });
}

grpc::ServerUnaryReactor* OrdersService::CancelOrder(grpc::CallbackServerContext* context,
                                                     const v1::CancelOrderRequest* request,
                                                     v1::CancelOrderResponse* response) {
  return rpc::AnswerFromPool(pool_, context,
                             [=, this] { return Cancel(store_, *context, *request, *response); });
}

grpc::ServerUnaryReactor* OrdersService::GetSales(grpc::CallbackServerContext* context,
                                                  const v1::GetSalesRequest*,
                                                  v1::GetSalesResponse* response) {
  return rpc::AnswerNow(context, [=, this] {
    Show(sales_.totals(), *response);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* OrdersService::ListOrders(grpc::CallbackServerContext* context,
                                                    const v1::ListOrdersRequest* request,
                                                    v1::ListOrdersResponse* response) {
  return rpc::AnswerFromPool(pool_, context,
                             [=, this] { return List(store_, *context, *request, *response); });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* OrdersService::WatchOrders(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return rpc::Serve<orders::WatchOrders>(*request, store_, feed_, pool_);
}

grpc::ServerReadReactor<v1::ImportOrdersRequest>* OrdersService::ImportOrders(
    grpc::CallbackServerContext* context, v1::ImportOrdersResponse* response) {
  return rpc::Serve<orders::ImportOrders>(*context, *response, placer_);
}

grpc::ServerBidiReactor<v1::TrackOrdersRequest, v1::TrackOrdersResponse>*
OrdersService::TrackOrders(grpc::CallbackServerContext*) {
  return rpc::Serve<orders::TrackOrders>(store_, feed_, pool_);
}

}  // namespace orders
