#include "service/orders/order_placer.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "service/orders/order_errors.h"
#include "service/orders/order_request.h"
#include "service/orders/random_id.h"
#include "service/orders/stored_order.h"

namespace orders {
namespace {

v1::Order NewOrder(const v1::PlaceOrderRequest& request) {
  v1::Order order;
  order.set_order_id(NewRandomId());
  order.set_request_id(request.request_id());
  order.set_customer(request.customer());
  // Not the whole items: a caller may put anything into fields that this version does not know, and
  // as much of it as makes the stored order too large for every answer.
  for (const v1::OrderItem& item : request.items()) {
    v1::OrderItem& added = *order.add_items();
    added.set_sku(item.sku());
    added.set_quantity(item.quantity());
  }
  order.set_state(v1::ORDER_STATE_PLACED);
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  order.mutable_create_time()->set_seconds(seconds.count());
  order.mutable_create_time()->set_nanos(
      static_cast<int>(std::chrono::nanoseconds(since - seconds).count()));
  return order;
}

}  // namespace

// What the store calls when the placer may be gone, and the inventory's client with it.
class OrderPlacer::LateAbandoning {
 public:
  explicit LateAbandoning(InventoryClient& inventory) : inventory_(&inventory) {}

  void Abandon(const std::string& reservation_id) {
    const std::lock_guard lock(mutex_);
    if (inventory_ != nullptr) inventory_->Abandon(reservation_id);
  }
  void End() {
    const std::lock_guard lock(mutex_);
    inventory_ = nullptr;
  }

 private:
  std::mutex mutex_;
  InventoryClient* inventory_;  // Guarded by mutex_. Null once the placer is destroyed.
};

OrderPlacer::OrderPlacer(OrderStore& store, InventoryClient& inventory, rpc::BlockingPool& pool,
                         Hooks hooks)
    : store_(store),
      inventory_(inventory),
      pool_(pool),
      hooks_(std::move(hooks)),
      late_(std::make_shared<LateAbandoning>(inventory)) {}

OrderPlacer::~OrderPlacer() { late_->End(); }

void OrderPlacer::Place(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done) {
  if (absl::Status wrong = Validate(request); !wrong.ok()) return done(std::move(wrong));
  if (!pool_.Run([this, caller, &request, done] { Find(caller, request, done); })) {
    done(Overloaded());
  }
}

void OrderPlacer::Find(const rpc::Call& caller, const v1::PlaceOrderRequest& request,
                       const Done& done) {
  if (absl::Status gone = caller.Abandoned(); !gone.ok()) return done(std::move(gone));
  // A retry is answered without the inventory, which may be gone by now.
  absl::StatusOr<std::optional<v1::Order>> found =
      store_.FindByRequestId(request.request_id(), caller.DeadlineWithin(OrderStore::kTimeout));
  if (!found.ok()) return done(FromStore(found.status()));
  if (!*found) {
    if (hooks_.pushing_back()) return done(OutboxIsBehind());
    return Reserve(caller, request, done);
  }
  if (!SameContent(request, **found)) return done(RequestIdReused(request.request_id()));
  done(**std::move(found));
}

void OrderPlacer::Reserve(const rpc::Call& caller, const v1::PlaceOrderRequest& request,
                          Done done) {
  const std::string id = NewRandomId();
  inventory_.Reserve(
      caller, id, request, [this, caller, &request, id, done](absl::Status reserved) {
        if (!reserved.ok()) {
          // Perhaps the answer was lost, and not the question.
          if (absl::IsUnavailable(reserved)) inventory_.Abandon(id);
          return done(std::move(reserved));
        }
        const bool taken = pool_.Continue(
            [this, caller, &request, id, done] { done(Store(caller, request, id)); });
        if (taken) return;
        inventory_.Abandon(id);
        done(Overloaded());
      });
}

absl::StatusOr<v1::Order> OrderPlacer::Store(const rpc::Call& caller,
                                             const v1::PlaceOrderRequest& request,
                                             const std::string& reservation_id) {
  const absl::Status gone = caller.Abandoned();
  const absl::StatusOr<OrderStore::Placed> placed =
      gone.ok() ? store_.Place({NewOrder(request), reservation_id,
                                [late = late_, reservation_id] { late->Abandon(reservation_id); }},
                               caller.DeadlineWithin(OrderStore::kTimeout))
                : absl::StatusOr<OrderStore::Placed>(gone);
  // Where the outcome is open, the order may have its reservation.
  const bool unused = placed.ok() ? !placed->created : !absl::IsUnknown(placed.status());
  if (unused) inventory_.Abandon(reservation_id);
  if (!gone.ok()) return gone;
  if (absl::IsAlreadyExists(placed.status())) return RequestIdReused(request.request_id());
  if (!placed.ok()) return FromStore(placed.status());
  if (placed->created) hooks_.on_stored();
  return placed->order;
}

}  // namespace orders
