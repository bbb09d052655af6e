#include "service/orders/inventory_client.h"

#include <chrono>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/status.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

using inventory::v1::ConfirmRequest;
using inventory::v1::ConfirmResponse;
using inventory::v1::InventoryService;
using inventory::v1::ReleaseRequest;
using inventory::v1::ReleaseResponse;
using inventory::v1::ReserveRequest;
using inventory::v1::ReserveResponse;

// How many Abandon() may run at once: an inventory that does not answer must not make them pile up.
constexpr int kMaxAbandoning = 256;

absl::Status Unavailable() {
  absl::Status status =
      absl::UnavailableError("the inventory cannot be reached; nothing was stored, try again");
  status = rpc::WithErrorInfo(std::move(status), "orders.v1", "INVENTORY_UNAVAILABLE");
  return rpc::WithRetryInfo(std::move(status), std::chrono::milliseconds(200));
}

// What the caller of PlaceOrder is told when Reserve has failed.
absl::Status ToOrders(const absl::Status& status) {
  const auto with_reason = [&](absl::StatusCode code, const char* reason) {
    return rpc::WithErrorInfo(absl::Status(code, status.message()), "orders.v1", reason);
  };
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return absl::OkStatus();
    case absl::StatusCode::kFailedPrecondition:
      return with_reason(absl::StatusCode::kFailedPrecondition, "OUT_OF_STOCK");
    case absl::StatusCode::kNotFound:
      return with_reason(absl::StatusCode::kFailedPrecondition, "UNKNOWN_SKU");
    case absl::StatusCode::kAlreadyExists:
      return with_reason(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED");
    default:
      return Unavailable();
  }
}

// Whether an inventory that is well may answer so, now and then.
bool IsExpected(const absl::Status& answer) {
  switch (answer.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

}  // namespace

InventoryClient::InventoryClient(const std::string& address, std::stop_token answer_now,
                                 std::shared_ptr<const rpc::TlsFiles> tls,
                                 const std::string& tls_name)
    : errors_(absl::StrCat("the inventory at ", address, " cannot do its work for this service"),
              [](const std::string& line) { spdlog::warn("{}", line); }),
      backend_({.target = address,
                .tls = std::move(tls),
                .tls_server_name = tls_name,
                .answer_now = std::move(answer_now)},
               [](const std::string& line) { spdlog::warn("inventory at {}", line); }) {}

InventoryClient::~InventoryClient() {
  // Their answers are heard by what is about to go.
  if (*abandoning_ > 0) {
    Close(lifecycle::Clock::Steady().Now() + std::chrono::seconds(1)).IgnoreError();
  }
}

void InventoryClient::Reserve(const rpc::Call& caller, const std::string& reservation_id,
                              const v1::PlaceOrderRequest& order, Done done) {
  ReserveRequest request;
  request.set_reservation_id(reservation_id);
  request.mutable_ttl()->set_seconds(std::chrono::seconds(kReservationLife).count());
  for (const v1::OrderItem& item : order.items()) {
    inventory::v1::ReservationItem& reserved = *request.add_items();
    reserved.set_sku(item.sku());
    reserved.set_quantity(item.quantity());
  }
  backend_.Call(&InventoryService::Stub::async::Reserve, caller, std::move(request),
                [this, done = std::move(done)](const absl::StatusOr<ReserveResponse>& reserved) {
                  done(Told(reserved.status()));
                });
}

absl::Status InventoryClient::Told(const absl::Status& answer) {
  if (!IsExpected(answer)) {
    errors_.Count(absl::StrCat(absl::StatusCodeToString(answer.code()), ": ",
                               absl::CHexEscape(answer.message())));
  }
  return ToOrders(answer);
}

void InventoryClient::Confirm(const std::string& reservation_id, std::stop_token give_up,
                              Done done) {
  ConfirmRequest request;
  request.set_reservation_id(reservation_id);
  backend_.Call(&InventoryService::Stub::async::Confirm, std::move(give_up), std::move(request),
                [done = std::move(done)](const absl::StatusOr<ConfirmResponse>& confirmed) {
                  done(confirmed.status());
                });
}

void InventoryClient::Release(const std::string& reservation_id, std::stop_token give_up,
                              Done done) {
  ReleaseRequest request;
  request.set_reservation_id(reservation_id);
  request.set_even_confirmed(true);
  backend_.Call(&InventoryService::Stub::async::Release, std::move(give_up), std::move(request),
                [done = std::move(done)](const absl::StatusOr<ReleaseResponse>& released) {
                  done(released.status());
                });
}

void InventoryClient::Abandon(const std::string& reservation_id) {
  if (++*abandoning_ > kMaxAbandoning) {
    --*abandoning_;
    return;
  }
  ReleaseRequest request;
  request.set_reservation_id(reservation_id);
  backend_.Call(&InventoryService::Stub::async::Release, std::stop_token(), std::move(request),
                [count = abandoning_](const absl::StatusOr<ReleaseResponse>&) { --*count; });
}

}  // namespace orders
