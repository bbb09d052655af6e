#ifndef SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_
#define SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/rpc/error_details.pb.h"
#include "service/rpc/testing/status_details.h"

namespace orders {

using rpc::Metadata;
using rpc::SaysWhenToRetry;
using rpc::WrongFields;

// "UNAVAILABLE SERVER_DRAINING"; the code alone when there is no ErrorInfo.
inline std::string CodeAndReason(const absl::Status& status) {
  return rpc::CodeAndReason(status, "orders.v1");
}

// What is said of the wrong fields.
inline std::vector<std::string> Descriptions(const absl::Status& status) {
  std::vector<std::string> descriptions;
  const auto request = rpc::DetailOf<google::rpc::BadRequest>(status);
  for (const auto& violation : request.field_violations()) {
    descriptions.push_back(violation.description());
  }
  return descriptions;
}

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_STATUS_DETAILS_H_
