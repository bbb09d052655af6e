#include "service/orders/orders_service.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "service/orders/import_orders.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/orders/track_orders.h"
#include "service/orders/watch_orders.h"
#include "service/rpc/status.h"

namespace orders {
namespace {

// As orders.proto says.
constexpr int kUsualPage = 50;
constexpr int kLargestPage = 500;

// A stream that is refused before it begins.
class Refused final : public grpc::ServerWriteReactor<v1::WatchOrdersResponse> {
 public:
  explicit Refused(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

OrdersService::OrdersService(OrderStore& store, OrderPlacer& placer, EventFeed& feed,
                             rpc::BlockingPool& pool, const rpc::GoodbyeSignal& goodbye)
    : store_(store), placer_(placer), feed_(feed), pool_(pool), goodbye_(goodbye) {}

grpc::ServerUnaryReactor* OrdersService::PlaceOrder(grpc::CallbackServerContext* context,
                                                    const v1::PlaceOrderRequest* request,
                                                    v1::PlaceOrderResponse* response) {
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  placer_.Place(*context, *request, [call, response](absl::StatusOr<v1::Order> order) {
    if (order.ok()) *response->mutable_order() = *std::move(order);
    call->Finish(rpc::ToGrpc(order.status()));
  });
  return call;
}

grpc::ServerUnaryReactor* OrdersService::GetOrder(grpc::CallbackServerContext* context,
                                                  const v1::GetOrderRequest* request,
                                                  v1::GetOrderResponse* response) {
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  InPool(*call, [this, request, response]() -> absl::Status {
    absl::StatusOr<std::optional<v1::Order>> order = store_.Find(request->order_id());
    if (!order.ok()) return FromStore(order.status());
    if (!*order) return UnknownOrder(request->order_id());
    *response->mutable_order() = **std::move(order);
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerUnaryReactor* OrdersService::ListOrders(grpc::CallbackServerContext* context,
                                                    const v1::ListOrdersRequest* request,
                                                    v1::ListOrdersResponse* response) {
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  InPool(*call, [this, request, response]() -> absl::Status {
    if (request->page_size() < 0) {
      rpc::BadRequest wrong;
      wrong.Add("page_size", "must not be negative");
      return wrong.ToStatus();
    }
    const int size =
        request->page_size() == 0 ? kUsualPage : std::min(request->page_size(), kLargestPage);
    std::int64_t from = 0;
    if (!request->page_token().empty()) {
      const auto position = ReadToken(TokenKind::kPage, request->page_token());
      if (!position) return BadToken("page_token");
      from = *position;
    }
    absl::StatusOr<OrderStore::Page> page = store_.List(from, size);
    if (!page.ok()) return FromStore(page.status());
    for (v1::Order& order : page->orders) *response->add_orders() = std::move(order);
    if (page->next != 0) response->set_next_page_token(MakeToken(TokenKind::kPage, page->next));
    return absl::OkStatus();
  });
  return call;
}

grpc::ServerWriteReactor<v1::WatchOrdersResponse>* OrdersService::WatchOrders(
    grpc::CallbackServerContext*, const v1::WatchOrdersRequest* request) {
  std::int64_t sequence = feed_.last_sequence();
  if (request->resume_token() == "start") {
    sequence = 0;
  } else if (!request->resume_token().empty()) {
    const auto position = ReadToken(TokenKind::kWatch, request->resume_token());
    if (!position) return new Refused(BadToken("resume_token"));
    sequence = *position;
  }
  return new orders::WatchOrders(sequence, store_, feed_, pool_, goodbye_.token());
}

grpc::ServerReadReactor<v1::ImportOrdersRequest>* OrdersService::ImportOrders(
    grpc::CallbackServerContext* context, v1::ImportOrdersResponse* response) {
  return new orders::ImportOrders(*context, *response, placer_, goodbye_.token());
}

grpc::ServerBidiReactor<v1::TrackOrdersRequest, v1::TrackOrdersResponse>*
OrdersService::TrackOrders(grpc::CallbackServerContext*) {
  return orders::TrackOrders::Start(store_, feed_, pool_, goodbye_.token());
}

void OrdersService::InPool(grpc::ServerUnaryReactor& call, std::function<absl::Status()> work) {
  const bool taken =
      pool_.Run([&call, work = std::move(work)] { call.Finish(rpc::ToGrpc(work())); });
  if (!taken) call.Finish(rpc::ToGrpc(Overloaded()));
}

}  // namespace orders
