#include "service/orders/order_errors.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/status.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

constexpr char kDomain[] = "orders.v1";
constexpr std::chrono::milliseconds kRetryDelay(200);
constexpr std::chrono::milliseconds kBehindRetryDelay(2000);

// Every call meets a store that is away.
rpc::LimitLog& Failures() {
  static auto* const kFailures = new rpc::LimitLog(
      "the order store has failed", [](const std::string& line) { spdlog::warn("{}", line); });
  return *kFailures;
}

}  // namespace

absl::Status Overloaded() { return rpc::Overloaded(kDomain); }

absl::Status OutboxIsBehind() {
  absl::Status status = absl::ResourceExhaustedError(
      "the inventory confirms more slowly than orders come; nothing was stored, try again later");
  status = rpc::WithErrorInfo(std::move(status), kDomain, "OVERLOADED");
  return rpc::WithRetryInfo(std::move(status), kBehindRetryDelay);
}

absl::Status OrderIsConfirmed(const std::string& order_id) {
  return rpc::WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(
                                "order ", order_id,
                                " was confirmed by an older version of this service, which "
                                "kept no reservation; it cannot be cancelled")),
                            kDomain, "ORDER_CONFIRMED");
}

absl::Status UnknownOrder(const std::string& order_id) {
  return rpc::WithErrorInfo(absl::NotFoundError(absl::StrCat("there is no order ", order_id)),
                            kDomain, "UNKNOWN_ORDER");
}

absl::Status BadToken(const std::string& field) {
  rpc::BadRequest wrong;
  wrong.Add(field, "is no token of this service; send one that it gave you, unchanged");
  return wrong.ToStatus();
}

absl::Status RequestIdReused(const std::string& request_id) {
  return rpc::WithErrorInfo(
      absl::AlreadyExistsError(
          absl::StrCat("request_id ", request_id, " has placed an order with other content")),
      kDomain, "REQUEST_ID_REUSED");
}

absl::Status OutcomeUnknown() {
  absl::Status status = absl::UnavailableError(
      "it may or may not be stored; repeat the call with the same request_id");
  status = rpc::WithErrorInfo(std::move(status), kDomain, "OUTCOME_UNKNOWN");
  return rpc::WithRetryInfo(std::move(status), kRetryDelay);
}

absl::Status FromStore(const absl::Status& status) {
  if (status.ok()) return status;
  if (absl::IsResourceExhausted(status)) return Overloaded();
  if (absl::IsOutOfRange(status)) {
    return rpc::WithErrorInfo(absl::OutOfRangeError(status.message()), kDomain, "EVENTS_REMOVED");
  }
  Failures().Count(status.ToString());
  if (absl::IsUnknown(status)) return OutcomeUnknown();
  if (absl::IsUnavailable(status) || absl::IsFailedPrecondition(status) ||
      absl::IsDeadlineExceeded(status)) {
    absl::Status told = absl::UnavailableError("the database is busy or gone; try again");
    told = rpc::WithErrorInfo(std::move(told), kDomain, "STORE_UNAVAILABLE");
    return rpc::WithRetryInfo(std::move(told), kRetryDelay);
  }
  return absl::InternalError(status.message());
}

}  // namespace orders
