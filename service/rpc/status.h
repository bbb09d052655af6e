#ifndef SERVICE_RPC_STATUS_H_
#define SERVICE_RPC_STATUS_H_

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace rpc {

// The one place where absl::Status, which is used inside, becomes grpc::Status,
// which callers see.
//
// The functions that make a status put google.rpc details into its payload; the
// conversion sends them in the `grpc-status-details-bin` trailer. A caller never
// sees a payload of any other kind, nor what was wrong inside: INTERNAL and
// UNKNOWN are sent with neither message nor details. What is too large for a
// trailer is cut: the end of the message, then whole details.
grpc::Status ToGrpc(const absl::Status& status);

// The other way, for what a backend answered: code, message and details.
absl::Status FromGrpc(const grpc::Status& status);

// A request that will never succeed as it is: INVALID_ARGUMENT with a BadRequest
// that names every wrong field; of very many, the first.
class BadRequest {
 public:
  // `field` is a path, "items[2].quantity"; `description` says what would be right.
  void Add(std::string field, std::string description);

  // OK when nothing was added.
  absl::Status ToStatus() const;

 private:
  struct Violation {
    std::string field;
    std::string description;
  };
  std::vector<Violation> violations_;
};

// Adds an ErrorInfo: why, in UPPER_SNAKE_CASE, by whom ("orders.v1"), and what a
// program needs to act on it.
absl::Status WithErrorInfo(absl::Status status, const std::string& domain,
                           const std::string& reason,
                           const std::map<std::string, std::string>& metadata = {});

// Adds metadata to the ErrorInfo of `status`; gives it one of `domain` and `reason`
// first when it has none.
absl::Status WithErrorMetadata(absl::Status status, const std::string& domain,
                               const std::string& reason,
                               const std::map<std::string, std::string>& metadata);

// Adds a RetryInfo: the caller may try again after `delay`.
absl::Status WithRetryInfo(absl::Status status, std::chrono::milliseconds delay);

// How a stream ends in a drain: UNAVAILABLE with RetryInfo and
// ErrorInfo{reason: SERVER_DRAINING, metadata}. `metadata` says where to go on:
// {"resume_token", ...} or {"durable_orders", ...}.
absl::Status Goodbye(const std::string& domain,
                     const std::map<std::string, std::string>& metadata = {});

}  // namespace rpc

#endif  // SERVICE_RPC_STATUS_H_
