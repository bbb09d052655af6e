#ifndef SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_
#define SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace orders {

// The google.rpc details of a status, as a test compares them.

// Empty, not complete, when there is none.
template <typename Detail>
Detail DetailOf(const absl::Status& status) {
  Detail detail;
  const auto payload =
      status.GetPayload("type.googleapis.com/" + std::string(detail.GetTypeName()));
  if (payload) {
    EXPECT_TRUE(detail.ParseFromString(std::string(*payload)));
  }
  return detail;
}

// "UNAVAILABLE SERVER_DRAINING"; the code alone when there is no ErrorInfo.
inline std::string CodeAndReason(const absl::Status& status) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  const std::string code = absl::StatusCodeToString(status.code());
  if (info.reason().empty()) return code;
  EXPECT_EQ(info.domain(), "orders.v1");
  return code + " " + info.reason();
}

inline std::string Metadata(const absl::Status& status, const std::string& key) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  const auto found = info.metadata().find(key);
  return found == info.metadata().end() ? "" : found->second;
}

inline bool SaysWhenToRetry(const absl::Status& status) {
  return DetailOf<google::rpc::RetryInfo>(status).has_retry_delay();
}

// What is said of the wrong fields.
inline std::vector<std::string> Descriptions(const absl::Status& status) {
  std::vector<std::string> descriptions;
  const auto request = DetailOf<google::rpc::BadRequest>(status);
  for (const auto& violation : request.field_violations()) {
    descriptions.push_back(violation.description());
  }
  return descriptions;
}

inline std::vector<std::string> WrongFields(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto request = DetailOf<google::rpc::BadRequest>(status);
  for (const auto& violation : request.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_
