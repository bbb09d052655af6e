#ifndef SERVICE_RPC_TESTING_STATUS_DETAILS_H_
#define SERVICE_RPC_TESTING_STATUS_DETAILS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace rpc {

// The google.rpc details of a status, as a test compares them. A caller's status has been FromGrpc().

// Empty when there is none.
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

// "UNAVAILABLE SERVER_DRAINING", a reason of this domain; the code alone when there is no ErrorInfo.
inline std::string CodeAndReason(const absl::Status& status, const std::string& domain) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  const std::string code = absl::StatusCodeToString(status.code());
  if (info.reason().empty()) return code;
  EXPECT_EQ(info.domain(), domain);
  return code + " " + info.reason();
}

// What the ErrorInfo has of this key; empty when it has none.
inline std::string Metadata(const absl::Status& status, const std::string& key) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  const auto found = info.metadata().find(key);
  return found == info.metadata().end() ? "" : found->second;
}

inline bool SaysWhenToRetry(const absl::Status& status) {
  return DetailOf<google::rpc::RetryInfo>(status).has_retry_delay();
}

// What a BadRequest names, each with a description.
inline std::vector<std::string> WrongFields(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto request = DetailOf<google::rpc::BadRequest>(status);
  for (const auto& violation : request.field_violations()) {
    fields.push_back(violation.field());
    EXPECT_NE(violation.description(), "") << violation.field();
  }
  return fields;
}

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_STATUS_DETAILS_H_
