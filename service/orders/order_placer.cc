#include "service/orders/order_placer.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "service/orders/order_errors.h"
#include "service/orders/order_request.h"
#include "service/orders/store_deadline.h"

namespace orders {
namespace {

// 128 random bits, so that replicas need not agree on ids.
std::string NewOrderId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  const std::uint64_t high = random();
  const std::uint64_t low = random();
  return absl::StrFormat("%016x%016x", high, low);
}

v1::Order NewOrder(const v1::PlaceOrderRequest& request) {
  v1::Order order;
  order.set_order_id(NewOrderId());
  order.set_request_id(request.request_id());
  order.set_customer(request.customer());
  *order.mutable_items() = request.items();
  order.set_state(v1::ORDER_STATE_PLACED);
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  order.mutable_create_time()->set_seconds(seconds.count());
  order.mutable_create_time()->set_nanos(
      static_cast<int>(std::chrono::nanoseconds(since - seconds).count()));
  return order;
}

}  // namespace

OrderPlacer::OrderPlacer(OrderStore& store, InventoryClient& inventory, rpc::BlockingPool& pool,
                         std::function<void()> on_stored)
    : store_(store), inventory_(inventory), pool_(pool), on_stored_(std::move(on_stored)) {}

void OrderPlacer::Place(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done) {
  if (absl::Status wrong = Validate(request); !wrong.ok()) return done(std::move(wrong));
  // A retry is answered without the inventory, which may be gone by now.
  const bool taken = pool_.Run([this, caller, &request, done] {
    if (absl::Status gone = caller.Abandoned(); !gone.ok()) return done(std::move(gone));
    absl::StatusOr<std::optional<v1::Order>> found =
        store_.FindByRequestId(request.request_id(), StoreDeadline(caller));
    if (!found.ok()) return done(FromStore(found.status()));
    if (!*found) return Reserve(caller, request, done);
    if (!SameContent(request, **found)) return done(RequestIdReused(request.request_id()));
    done(**std::move(found));
  });
  if (!taken) done(Overloaded());
}

void OrderPlacer::Reserve(const rpc::Call& caller, const v1::PlaceOrderRequest& request,
                          Done done) {
  inventory_.Reserve(caller, request, [this, caller, &request, done](absl::Status reserved) {
    if (!reserved.ok()) return done(std::move(reserved));
    // When this is not taken, or fails, the reservation waits for the retry, and
    // expires without one.
    if (!pool_.Run([this, caller, &request, done] { Store(caller, request, done); }))
      done(Overloaded());
  });
}

void OrderPlacer::Store(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done) {
  std::vector<OrderStore::NewOrder> orders = {
      {NewOrder(request), InventoryClient::ReservationId(request.request_id())}};
  absl::StatusOr<OrderStore::Placed> placed =
      std::move(store_.Place(std::move(orders), StoreDeadline(caller)).front());
  if (absl::IsAlreadyExists(placed.status())) return done(RequestIdReused(request.request_id()));
  if (!placed.ok()) return done(FromStore(placed.status()));
  on_stored_();
  done(std::move(placed->order));
}

}  // namespace orders
