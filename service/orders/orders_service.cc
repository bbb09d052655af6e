#include "service/orders/orders_service.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "service/orders/import_orders.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/orders/store_deadline.h"
#include "service/orders/track_orders.h"
#include "service/orders/watch_orders.h"
#include "service/rpc/stream.h"
#include "service/rpc/unary.h"

namespace orders {
namespace {

// As orders.proto says.
constexpr int kUsualPage = 50;
constexpr int kLargestPage = 500;

absl::StatusOr<v1::GetOrderResponse> Get(OrderStore& store, const v1::GetOrderRequest& request,
                                         const rpc::Call& call) {
  absl::StatusOr<std::optional<v1::Order>> order =
      store.Find(request.order_id(), StoreDeadline(call));
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
  absl::StatusOr<OrderStore::Page> page = store.List(from, size, StoreDeadline(call));
  if (!page.ok()) return FromStore(page.status());
  v1::ListOrdersResponse response;
  for (v1::Order& order : page->orders) *response.add_orders() = std::move(order);
  if (page->next != 0) {
    response.set_next_page_token(MakeToken(TokenKind::kPage, store.DatabaseId(), page->next));
  }
  return response;
}

}  // namespace

OrdersService::OrdersService(OrderStore& store, OrderPlacer& placer, EventFeed& feed,
                             rpc::BlockingPool& pool, const rpc::GoodbyeSignal& goodbye)
    : store_(store), placer_(placer), feed_(feed), pool_(pool), goodbye_(goodbye) {}

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
