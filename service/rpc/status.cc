#include "service/rpc/status.h"

#include <cstddef>
#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/message.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "service/lifecycle/last_resort/utf8.h"

namespace rpc {
namespace {

using lifecycle::ValidUtf8;

constexpr char kTypePrefix[] = "type.googleapis.com/";
// Clients accept 8 KiB of metadata; of a status with more they see only RESOURCE_EXHAUSTED. The
// message is in there twice, once with up to three bytes for each of its own.
constexpr std::size_t kMostMessage = 1000;
constexpr std::size_t kMostDetails = 2000;
// Of a BadRequest's message, without its end, and of each text in it: it and its detail then stay
// below both limits, with room for an ErrorInfo, whatever a caller sent.
constexpr std::size_t kMostViolations = 900;
constexpr std::size_t kMostOfOne = 300;

std::string TypeUrl(const google::protobuf::Message& detail) {
  return kTypePrefix + std::string(detail.GetTypeName());
}

absl::Status With(absl::Status status, const google::protobuf::Message& detail) {
  status.SetPayload(TypeUrl(detail), absl::Cord(detail.SerializeAsString()));
  return status;
}

void Add(const std::map<std::string, std::string>& metadata, google::rpc::ErrorInfo& info) {
  for (const auto& [key, value] : metadata) {
    (*info.mutable_metadata())[ValidUtf8(key)] = ValidUtf8(value);
  }
}

// Truncates a text that is longer than `most` bytes, at a character boundary.
std::string Shortened(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

// A DebugInfo has stacks.
bool IsForCallers(const std::string& type_url) {
  const std::string ours = std::string(kTypePrefix) + "google.rpc.";
  return type_url.rfind(ours, 0) == 0 && type_url != ours + "DebugInfo";
}

bool HidesWhatWasWrong(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(HidesWhatWasWrong(status.code())
                       ? "internal error"
                       : Shortened(ValidUtf8(std::string(status.message())), kMostMessage));
  std::size_t size = 0;
  status.ForEachPayload([&](const auto& type_url, const absl::Cord& value) {
    const std::string type(type_url);
    if (!IsForCallers(type)) return;
    if (size + type.size() + value.size() > kMostDetails) return;
    size += type.size() + value.size();
    google::protobuf::Any& detail = *rich.add_details();
    detail.set_type_url(type);
    detail.set_value(std::string(value));
  });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), rich.message(),
                      rich.details().empty() ? std::string() : rich.SerializeAsString());
}

bool HasRoomForDetails(const absl::Status& status) {
  std::size_t size = 0;
  status.ForEachPayload([&size](const auto& type_url, const absl::Cord& value) {
    const std::string type(type_url);
    if (IsForCallers(type)) size += type.size() + value.size();
  });
  return size <= kMostDetails;
}

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status rich;
  if (!result.ok() && rich.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : rich.details()) {
      result.SetPayload(std::string(detail.type_url()), absl::Cord(std::string(detail.value())));
    }
  }
  return result;
}

void BadRequest::Add(std::string_view field, std::string_view description) {
  Violation violation = {Shortened(ValidUtf8(field), kMostOfOne),
                         Shortened(ValidUtf8(description), kMostOfOne)};
  const std::size_t size = violation.field.size() + violation.description.size() + 3;  // "; ", " ".
  if (more_ > 0 || size_ + size > kMostViolations) {
    ++more_;
    return;
  }
  size_ += size;
  violations_.push_back(std::move(violation));
}

absl::Status BadRequest::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  google::rpc::BadRequest detail;
  std::string message;
  for (const Violation& violation : violations_) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field, " ",
                    violation.description);
    google::rpc::BadRequest::FieldViolation& field = *detail.add_field_violations();
    field.set_field(violation.field);
    field.set_description(violation.description);
  }
  if (more_ > 0) absl::StrAppend(&message, "; and ", more_, " more");
  return With(absl::InvalidArgumentError(message), detail);
}

absl::Status WithErrorInfo(absl::Status status, const std::string& domain,
                           const std::string& reason,
                           const std::map<std::string, std::string>& metadata) {
  google::rpc::ErrorInfo info;
  info.set_domain(ValidUtf8(domain));
  info.set_reason(ValidUtf8(reason));
  Add(metadata, info);
  return With(std::move(status), info);
}

absl::Status WithErrorMetadata(absl::Status status, const std::string& domain,
                               const std::string& reason,
                               const std::map<std::string, std::string>& metadata) {
  google::rpc::ErrorInfo info;
  const auto payload = status.GetPayload(TypeUrl(info));
  if (!payload || !info.ParseFromString(std::string(*payload))) {
    info.set_domain(ValidUtf8(domain));
    info.set_reason(ValidUtf8(reason));
  }
  Add(metadata, info);
  return With(std::move(status), info);
}

absl::Status WithRetryInfo(absl::Status status, std::chrono::milliseconds delay) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(delay.count() / 1000);
  info.mutable_retry_delay()->set_nanos(static_cast<int>(delay.count() % 1000) * 1000000);
  return With(std::move(status), info);
}

absl::Status Overloaded(const std::string& domain, const std::string& what) {
  constexpr std::chrono::milliseconds kRetryDelay(200);
  return WithRetryInfo(WithErrorInfo(absl::ResourceExhaustedError(what), domain, "OVERLOADED"),
                       kRetryDelay);
}

absl::Status Goodbye(const std::string& domain,
                     const std::map<std::string, std::string>& metadata) {
  // Long enough for the caller's channel to have seen the GOAWAY, short enough
  // that nobody notices.
  constexpr std::chrono::milliseconds kRetryDelay(100);
  absl::Status status =
      absl::UnavailableError("the server is draining; continue on another replica");
  status = WithErrorInfo(std::move(status), domain, "SERVER_DRAINING", metadata);
  return WithRetryInfo(std::move(status), kRetryDelay);
}

}  // namespace rpc
