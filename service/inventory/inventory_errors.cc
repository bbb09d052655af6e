#include "service/inventory/inventory_errors.h"

#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/status.h"
#include "spdlog/spdlog.h"

namespace inventory {
namespace {

constexpr std::chrono::milliseconds kRetryDelay(200);

absl::Status With(absl::Status status, const std::string& reason,
                  const std::map<std::string, std::string>& metadata = {}) {
  return rpc::WithErrorInfo(std::move(status), "inventory.v1", reason, metadata);
}

bool IsPromised(const absl::Status& status) {
  return status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo").has_value();
}

// Every call meets a store that is away.
rpc::LimitLog& Failures() {
  static auto* const kFailures = new rpc::LimitLog(
      "the stock store has failed", [](const std::string& line) { spdlog::warn("{}", line); });
  return *kFailures;
}

}  // namespace

absl::Status UnknownSku(const std::string& sku) {
  return With(absl::NotFoundError(absl::StrCat("there is no SKU ", sku)), "UNKNOWN_SKU",
              {{"sku", sku}});
}

absl::Status OutOfStock(const std::string& sku, std::int64_t available) {
  return With(
      absl::FailedPreconditionError(absl::StrCat("only ", available, " of ", sku, " are left")),
      "OUT_OF_STOCK", {{"sku", sku}, {"available", absl::StrCat(available)}});
}

absl::Status ReservationIdReused(const std::string& reservation_id) {
  return With(absl::AlreadyExistsError(
                  absl::StrCat("reservation_id ", reservation_id, " was used for other items")),
              "RESERVATION_ID_REUSED");
}

absl::Status UnknownReservation(const std::string& reservation_id) {
  return With(absl::NotFoundError(absl::StrCat("there is no reservation ", reservation_id)),
              "UNKNOWN_RESERVATION");
}

absl::Status ReservationReleased(const std::string& reservation_id) {
  return With(absl::FailedPreconditionError(
                  absl::StrCat("reservation ", reservation_id, " was given back")),
              "RESERVATION_RELEASED");
}

absl::Status ReservationConfirmed(const std::string& reservation_id) {
  return With(
      absl::FailedPreconditionError(absl::StrCat("reservation ", reservation_id, " is sold")),
      "RESERVATION_CONFIRMED");
}

absl::Status FromStore(const absl::Status& status) {
  if (status.ok() || IsPromised(status)) return status;
  if (absl::IsResourceExhausted(status)) return rpc::Overloaded("inventory.v1");
  Failures().Count(status.ToString());
  // UNKNOWN: it may be stored; whoever repeats the call is answered the same.
  if (absl::IsUnavailable(status) || absl::IsFailedPrecondition(status) ||
      absl::IsDeadlineExceeded(status) || absl::IsUnknown(status)) {
    return rpc::WithRetryInfo(
        With(absl::UnavailableError("the database is busy or gone; try again"),
             "STORE_UNAVAILABLE"),
        kRetryDelay);
  }
  return absl::InternalError(status.message());
}

}  // namespace inventory
