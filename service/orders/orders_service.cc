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

absl::StatusOr<v1::GetOrderResponse> Get(OrderStore& store, const v1::GetOrderRequest& request,
                                         const rpc::Call& call) {
  absl::StatusOr<std::optional<v1::Order>> order =
      store.Find(request.order_id(), call.DeadlineWithin(OrderStore::kTimeout));
  if (!order.ok()) return FromStore(order.status());
  if (!*order) return UnknownOrder(request.order_id());
  v1::GetOrderResponse response;
  *response.mutable_order() = **std::move(order);
  return response;
}

absl::StatusOr<v1::ListOrdersResponse> List(OrderStore& store, const v1::ListOrdersRequest& request,
                                            const rpc::Call& call) {
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
  v1::ListOrdersResponse response;
  for (v1::Order& order : page->orders) *response.add_orders() = std::move(order);
  if (page->next != 0) {
    response.set_next_page_token(MakeToken(TokenKind::kPage, store.DatabaseId(), page->next));
  }
  return response;
}

absl::StatusOr<v1::CancelOrderResponse> Cancel(OrderStore& store,
                                               const v1::CancelOrderRequest& request,
                                               const rpc::Call& call) {
  absl::StatusOr<v1::Order> order =
      store.Cancel(request.order_id(), call.DeadlineWithin(OrderStore::kTimeout));
  if (absl::IsNotFound(order.status())) return UnknownOrder(request.order_id());
  // The store is closed, or the order has no reservation; then the order can be read.
  if (absl::IsFailedPrecondition(order.status()) &&
      store.Find(request.order_id(), call.DeadlineWithin(OrderStore::kTimeout)).ok()) {
    return OrderIsConfirmed(request.order_id());
  }
  if (!order.ok()) return FromStore(order.status());
  v1::CancelOrderResponse response;
  *response.mutable_order() = *std::move(order);
  return response;
}

v1::GetSalesResponse SalesOf(const SalesTotals& totals) {
  v1::GetSalesResponse response;
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    v1::Sales& sales = *response.add_sales();
    sales.set_sku(sku);
    sales.set_quantity(quantity);
  }
  response.set_sequence(totals.sequence);
  return response;
}

}  // namespace

OrdersService::OrdersService(OrderStore& store, OrderPlacer& placer, EventFeed& feed,
                             const Sales& sales, rpc::BlockingPool& pool,
                             const rpc::GoodbyeSignal& goodbye)
    : store_(store), placer_(placer), feed_(feed), sales_(sales), pool_(pool), goodbye_(goodbye) {}

grpc::ServerUnaryReactor* OrdersService::PlaceOrder(grpc::CallbackServerContext* context,
                                                    const v1::PlaceOrderRequest* request,
                                                    v1::PlaceOrderResponse* response) {
  return rpc::AnswerLater(context, request, response,
                          [this](const v1::PlaceOrderRequest& order, const rpc::Call& call,
                                 const rpc::Answer<v1::PlaceOrderResponse>& answer) {
                            placer_.Place(call, order, [answer](absl::StatusOr<v1::Order> placed) {
                              if (!placed.ok()) return answer(placed.status());
                              v1::PlaceOrderResponse response;
                              *response.mutable_order() = *std::move(placed);
                              answer(std::move(response));
                            });
                          });
}

grpc::ServerUnaryReactor* OrdersService::GetOrder(grpc::CallbackServerContext* context,
                                                  const v1::GetOrderRequest* request,
                                                  v1::GetOrderResponse* response) {
  return rpc::AnswerFromPool(
      pool_, context, request, response,
      [this](const auto& order, const rpc::Call& call) { return Get(store_, order, call); });
}

grpc::ServerUnaryReactor* OrdersService::CancelOrder(grpc::CallbackServerContext* context,
                                                     const v1::CancelOrderRequest* request,
                                                     v1::CancelOrderResponse* response) {
  return rpc::AnswerFromPool(
      pool_, context, request, response,
      [this](const auto& order, const auto& call) { return Cancel(store_, order, call); });
}

grpc::ServerUnaryReactor* OrdersService::GetSales(grpc::CallbackServerContext* context,
                                                  const v1::GetSalesRequest* request,
                                                  v1::GetSalesResponse* response) {
  return rpc::AnswerNow(context, request, response,
                        [this](const auto&, const auto&) -> absl::StatusOr<v1::GetSalesResponse> {
                          return SalesOf(sales_.totals());
                        });
}

grpc::ServerUnaryReactor* OrdersService::ListOrders(grpc::CallbackServerContext* context,
                                                    const v1::ListOrdersRequest* request,
                                                    v1::ListOrdersResponse* response) {
  return rpc::AnswerFromPool(
      pool_, context, request, response,
      [this](const auto& page, const rpc::Call& call) { return List(store_, page, call); });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* OrdersService::WatchOrders(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return rpc::Serve<orders::WatchOrders>(goodbye_.token(), *request, store_, feed_, pool_);
}

grpc::ServerReadReactor<v1::ImportOrdersRequest>* OrdersService::ImportOrders(
    grpc::CallbackServerContext* context, v1::ImportOrdersResponse* response) {
  return rpc::Serve<orders::ImportOrders>(goodbye_.token(), *context, *response, placer_);
}

grpc::ServerBidiReactor<v1::TrackOrdersRequest, v1::TrackOrdersResponse>*
OrdersService::TrackOrders(grpc::CallbackServerContext*) {
  return rpc::Serve<orders::TrackOrders>(goodbye_.token(), store_, feed_, pool_);
}

}  // namespace orders
