#include "client/error_details.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/plain_text.h"
#include "google/rpc/status.pb.h"

namespace client {
namespace {

using google::rpc::ErrorInfo;

constexpr char kTypePrefix[] = "type.googleapis.com/";

template <class Detail>
std::optional<Detail> Find(const absl::Status& status) {
  const auto payload =
      status.GetPayload(absl::StrCat(kTypePrefix, std::string(Detail::descriptor()->full_name())));
  Detail detail;
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (result.ok() || !details.ParseFromString(status.error_details())) return result;
  for (const auto& detail : details.details()) {
    result.SetPayload(std::string(detail.type_url()), absl::Cord(std::string(detail.value())));
  }
  return result;
}

std::optional<google::rpc::BadRequest> FindBadRequest(const absl::Status& status) {
  return Find<google::rpc::BadRequest>(status);
}

std::string ErrorReason(const absl::Status& status) {
  const auto info = Find<ErrorInfo>(status);
  return info.has_value() ? std::string(info->reason()) : "";
}

std::optional<std::string> ErrorMetadata(const absl::Status& status, const std::string& key) {
  const auto info = Find<ErrorInfo>(status);
  if (!info.has_value()) return std::nullopt;
  const auto entry = info->metadata().find(key);
  if (entry == info->metadata().end()) return std::nullopt;
  return std::string(entry->second);
}

std::optional<std::chrono::milliseconds> RetryDelay(const absl::Status& status) {
  const auto info = Find<google::rpc::RetryInfo>(status);
  if (!info.has_value() || !info->has_retry_delay()) return std::nullopt;
  constexpr std::chrono::seconds kMost = std::chrono::hours(24);
  const std::chrono::seconds seconds(info->retry_delay().seconds());
  if (seconds >= kMost) return kMost;
  if (seconds.count() < 0) return std::chrono::milliseconds(0);
  // Rounded up: "at least this long".
  const auto nanos =
      std::chrono::nanoseconds(std::clamp(info->retry_delay().nanos(), 0, 999999999));
  return seconds + std::chrono::ceil<std::chrono::milliseconds>(nanos);
}

std::string Describe(const absl::Status& status) {
  std::vector<std::string> wrong;
  if (const auto bad = FindBadRequest(status)) {
    for (const auto& violation : bad->field_violations()) {
      wrong.push_back(
          absl::StrCat(std::string(violation.field()), ": ", std::string(violation.description())));
    }
  }
  const std::string words =
      wrong.empty() ? std::string(status.message()) : absl::StrJoin(wrong, "; ");
  std::string text = absl::StatusCodeToString(status.code());
  if (!words.empty()) absl::StrAppend(&text, ": ", words);
  if (const auto info = Find<ErrorInfo>(status)) {
    absl::StrAppend(&text, " (", std::string(info->reason()));
    // A protobuf map has no order of its own.
    const std::map<std::string, std::string> sorted(info->metadata().begin(),
                                                    info->metadata().end());
    for (const auto& [key, value] : sorted) absl::StrAppend(&text, ", ", key, "=", value);
    absl::StrAppend(&text, ")");
  }
  return OneLine(text);
}

}  // namespace client
