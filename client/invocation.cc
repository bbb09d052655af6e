#include "client/invocation.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/error_details.h"
#include "client/retry.h"
#include "google/protobuf/util/json_util.h"

namespace client {
namespace {

// What a person can do about it; empty when the message says all there is.
std::string Advice(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  if (reason == "UNKNOWN_ORDER") return "`client list` shows the orders there are.";
  if (reason == "UNKNOWN_SKU") return "`client stock` shows the SKUs there are.";
  if (reason == "OUT_OF_STOCK") return "`client stock` shows what is left.";
  if (reason == "REQUEST_ID_REUSED") return "A new order needs a --request-id of its own.";
  if (!reason.empty() && IsRetryable(status)) return "Try again later.";
  if (absl::IsUnavailable(status)) return "Does the server run, and is its address right?";
  if (absl::IsDeadlineExceeded(status)) return "A larger --timeout may help.";
  return "";
}

}  // namespace

ExitCode ExitCodeFor(const absl::Status& status) {
  return IsRetryable(status) || absl::IsDeadlineExceeded(status) ? kTryAgain : kRefused;
}

void Invocation::Say(const std::string& what) const {
  terminal.err << OneLine("client " + command + ": " + what) << std::endl;
}

int Invocation::Complain(ExitCode code, const std::string& what) const {
  Say(what);
  return code;
}

int Invocation::UsageError(const std::string& what) const {
  return Complain(kUsage, what + " (see: client help " + command + ")");
}

int Invocation::UsageError(const absl::Status& status) const {
  return UsageError(std::string(status.message()));
}

int Invocation::Failed(const absl::Status& status, const std::string& and_then) const {
  const ExitCode code = ExitCodeFor(status);
  std::string what = Describe(status);
  for (const std::string& more : {Advice(status), code == kTryAgain ? and_then : ""}) {
    const bool sentence_ended = what.ends_with('.') || what.ends_with('?');
    if (!more.empty()) absl::StrAppend(&what, sentence_ended ? " " : ". ", more);
  }
  return Complain(code, what);
}

void Invocation::PrintJson(const google::protobuf::Message& message) const {
  std::string json;
  if (google::protobuf::util::MessageToJsonString(message, &json).ok()) {
    terminal.out << json << std::endl;
  }
}

void Invocation::PrintOrder(const orders::v1::Order& order) const {
  if (line.Has("json")) return PrintJson(order);
  std::string state(orders::v1::OrderState_Name(order.state()));
  if (state.starts_with("ORDER_STATE_")) state = state.substr(std::strlen("ORDER_STATE_"));
  if (order.state() == orders::v1::ORDER_STATE_UNSPECIFIED) state = "UNKNOWN";
  std::string text = absl::StrFormat("%s  %-9s", std::string(order.order_id()), state);
  if (order.has_create_time()) {
    absl::StrAppend(
        &text, "  ",
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(order.create_time().seconds()),
                         absl::UTCTimeZone()));
  }
  absl::StrAppend(&text, "  ", std::string(order.customer()), " ");
  for (const auto& item : order.items()) {
    absl::StrAppend(&text, " ", std::string(item.sku()), "=", item.quantity());
  }
  terminal.out << OneLine(std::move(text)) << std::endl;
}

}  // namespace client
