#include "service/inventory/inventory_service.h"

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/alarm.h"
#include "service/inventory/inventory_errors.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/field_length.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"
#include "service/rpc/unary.h"

namespace inventory {
namespace {

using std::chrono::milliseconds;

// What inventory.proto allows.
constexpr std::size_t kLongestReservationId = 128;
constexpr int kMostItems = 100;
constexpr std::int64_t kMostOfOne = 1'000'000;
// Longer than a busy disk takes.
constexpr std::chrono::seconds kStoreTimeout{5};
constexpr milliseconds kUsualTtl = std::chrono::minutes(10);
constexpr milliseconds kLongestTtl = std::chrono::hours(24);

// Of a request that has nothing but that.
template <typename Request>
absl::Status Validate(const Request& request) {
  rpc::BadRequest wrong;
  rpc::RequireLength(wrong, "reservation_id", request.reservation_id(), kLongestReservationId);
  return wrong.ToStatus();
}

milliseconds Ttl(const v1::ReserveRequest& request) {
  if (!request.has_ttl()) return kUsualTtl;
  return milliseconds(request.ttl().seconds() * 1000 + request.ttl().nanos() / 1'000'000);
}

bool TtlIsAllowed(const v1::ReserveRequest& request) {
  // Looked at first: what no duration holds must not overflow.
  if (request.ttl().seconds() < 0 || request.ttl().seconds() > 2 * kLongestTtl.count() / 1000) {
    return false;
  }
  return Ttl(request) > milliseconds(0) && Ttl(request) <= kLongestTtl;
}

StockStore::Quantities Items(const v1::ReserveRequest& request) {
  StockStore::Quantities items;
  for (const v1::ReservationItem& item : request.items()) items[item.sku()] = item.quantity();
  return items;
}

absl::Status Validate(const v1::ReserveRequest& request) {
  rpc::BadRequest wrong;
  rpc::RequireLength(wrong, "reservation_id", request.reservation_id(), kLongestReservationId);
  if (request.items().empty() || request.items_size() > kMostItems) {
    wrong.Add("items", absl::StrCat("must be 1 to ", kMostItems, ", are ", request.items_size()));
  }
  StockStore::Quantities seen;
  for (int i = 0; i < request.items_size() && i < kMostItems; ++i) {
    const v1::ReservationItem& item = request.items(i);
    const std::string field = absl::StrCat("items[", i, "]");
    rpc::RequireLength(wrong, field + ".sku", item.sku(), StockStore::kLongestSku);
    if (!seen.emplace(item.sku(), i).second) {
      wrong.Add(field + ".sku", absl::StrCat("stands here twice: ", item.sku()));
    }
    if (item.quantity() < 1 || item.quantity() > kMostOfOne) {
      wrong.Add(field + ".quantity",
                absl::StrCat("must be 1 to ", kMostOfOne, ", is ", item.quantity()));
    }
  }
  if (!TtlIsAllowed(request)) wrong.Add("ttl", "must be more than 0 and at most 24 hours");
  return wrong.ToStatus();
}

absl::Status Validate(const v1::GetStockRequest& request) {
  rpc::BadRequest wrong;
  for (int i = 0; i < request.skus_size(); ++i) {
    rpc::RequireLength(wrong, absl::StrCat("skus[", i, "]"), request.skus(i),
                       StockStore::kLongestSku);
  }
  return wrong.ToStatus();
}

// Validates the request, and then runs `work`, which has until the deadline that it is given.
template <typename Request, typename Work>
absl::Status Checked(const rpc::Call& call, const Request& request, const Work& work) {
  if (absl::Status wrong = Validate(request); !wrong.ok()) return wrong;
  return FromStore(work(call.DeadlineWithin(kStoreTimeout)));
}

absl::Status Reserve(StockStore& store, const v1::ReserveRequest& request,
                     v1::ReserveResponse& response, StockStore::Deadline deadline) {
  const auto reserved =
      store.Reserve(request.reservation_id(), Items(request), Ttl(request), deadline);
  if (!reserved.ok() || !*reserved) return reserved.status();
  const auto millis =
      std::chrono::duration_cast<milliseconds>((*reserved)->time_since_epoch()).count();
  response.mutable_expire_time()->set_seconds(millis / 1000);
  response.mutable_expire_time()->set_nanos(static_cast<int>(millis % 1000) * 1'000'000);
  return absl::OkStatus();
}

// A call that begins after a delay, and at once when its caller has gone. It begins as if in its
// handler, though on another thread: what answers it asks there whose call it is (unary.h).
class DelayedCall final : public grpc::ServerUnaryReactor {
 public:
  DelayedCall(milliseconds delay, std::function<void(grpc::ServerUnaryReactor&)> begin) {
    alarm_.Set(std::chrono::system_clock::now() + delay,
               [this, begin = std::move(begin), method = rpc::GuardedMethod::Current(),
                call = rpc::GuardedMethod::CurrentCall(),
                trace = rpc::Trace::Current()](bool /*expired*/) {
                 const rpc::GuardedMethod::Running running(method, call);
                 const rpc::Trace::Scope scope(trace);
                 begin(*this);
               });
  }

  void OnCancel() override { alarm_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  grpc::Alarm alarm_;
};

}  // namespace

InventoryService::InventoryService(StockStore& store, rpc::BlockingPool& pool, milliseconds latency)
    : store_(store), pool_(pool), latency_(latency) {}

grpc::ServerUnaryReactor* InventoryService::Reserve(grpc::CallbackServerContext* context,
                                                    const v1::ReserveRequest* request,
                                                    v1::ReserveResponse* response) {
  const auto begin = [this, context, request, response](grpc::ServerUnaryReactor& call) {
    rpc::AnswerFromPool(pool_, call, *context, [=, this] {
      return Checked(*context, *request, [&](StockStore::Deadline deadline) {
        return inventory::Reserve(store_, *request, *response, deadline);
      });
    });
  };
  if (latency_ > milliseconds(0)) return new DelayedCall(latency_, begin);
  grpc::ServerUnaryReactor* call = context->DefaultReactor();
  begin(*call);
  return call;
}

grpc::ServerUnaryReactor* InventoryService::Confirm(grpc::CallbackServerContext* context,
                                                    const v1::ConfirmRequest* request,
                                                    v1::ConfirmResponse*) {
  return rpc::AnswerFromPool(pool_, context, [=, this] {
    return Checked(*context, *request, [&](StockStore::Deadline deadline) {
      return store_.Confirm(request->reservation_id(), deadline);
    });
  });
}

grpc::ServerUnaryReactor* InventoryService::Release(grpc::CallbackServerContext* context,
                                                    const v1::ReleaseRequest* request,
                                                    v1::ReleaseResponse*) {
  return rpc::AnswerFromPool(pool_, context, [=, this] {
    return Checked(*context, *request, [&](StockStore::Deadline deadline) {
      return store_.Release(request->reservation_id(), request->even_confirmed(), deadline);
    });
  });
}

grpc::ServerUnaryReactor* InventoryService::GetStock(grpc::CallbackServerContext* context,
                                                     const v1::GetStockRequest* request,
                                                     v1::GetStockResponse* response) {
  return rpc::AnswerFromPool(pool_, context, [=, this] {
    return Checked(*context, *request, [&](StockStore::Deadline deadline) {
      auto stock = store_.Get({request->skus().begin(), request->skus().end()}, deadline);
      if (!stock.ok()) return stock.status();
      for (v1::Stock& one : *stock) *response->add_stock() = std::move(one);
      return absl::OkStatus();
    });
  });
}

}  // namespace inventory
