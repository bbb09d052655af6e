#ifndef SERVICE_RPC_STATUS_H_
#define SERVICE_RPC_STATUS_H_

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace rpc {

// Converts absl::Status, used inside, to grpc::Status, which callers see. This is the only place
// that does.
//
// The functions below put google.rpc details into a status's payload; the conversion sends them in
// the `grpc-status-details-bin` trailer. Callers never see a payload of any other kind or a
// DebugInfo, nor what went wrong inside: INTERNAL and UNKNOWN are sent without their message; with
// their details, because those are written for callers. What is too large for a trailer is cut: the
// end of the message, and details, those that are too large. In the message, and in the details that
// are made below, bytes that are not UTF-8 are replaced.
grpc::Status ToGrpc(const absl::Status& status);

// Whether that sends all details: they are not too large for a trailer.
bool HasRoomForDetails(const absl::Status& status);

// The reverse, for a backend's answer: code, message and details.
absl::Status FromGrpc(const grpc::Status& status);

// Collects what is wrong with a request that can never succeed as it is: INVALID_ARGUMENT with a
// BadRequest that names every wrong field, or the first ones if there are very many. Of a long text
// it has the beginning.
class BadRequest {
 public:
  // `field` is a path, such as "items[2].quantity"; `description` says what would be valid. Those for
  // which there is no room in a status are only counted, so that a caller's mistakes cost no memory.
  void Add(std::string_view field, std::string_view description);

  // OK when nothing was added.
  absl::Status ToStatus() const;

 private:
  struct Violation {
    std::string field;
    std::string description;
  };
  std::vector<Violation> violations_;
  std::size_t size_ = 0;  // Of their text.
  std::size_t more_ = 0;  // Those behind them.
};

// Adds an ErrorInfo: the reason in UPPER_SNAKE_CASE, the domain it belongs to ("orders.v1"), and
// what a program needs to act on it.
absl::Status WithErrorInfo(absl::Status status, const std::string& domain,
                           const std::string& reason,
                           const std::map<std::string, std::string>& metadata = {});

// Adds metadata to the ErrorInfo of `status`; if it has none, first adds one with `domain` and
// `reason`.
absl::Status WithErrorMetadata(absl::Status status, const std::string& domain,
                               const std::string& reason,
                               const std::map<std::string, std::string>& metadata);

// Adds a RetryInfo: the caller may try again after `delay`.
absl::Status WithRetryInfo(absl::Status status, std::chrono::milliseconds delay);

// The status of a call that is refused because too much waits already: RESOURCE_EXHAUSTED with
// RetryInfo and ErrorInfo{reason: OVERLOADED}.
absl::Status Overloaded(const std::string& domain, const std::string& what = "too much work waits");

// The status that ends a stream in a drain: UNAVAILABLE with RetryInfo and ErrorInfo{reason:
// SERVER_DRAINING, metadata}. `metadata` says where to resume: {"resume_token", ...} or
// {"durable_orders", ...}.
absl::Status Goodbye(const std::string& domain,
                     const std::map<std::string, std::string>& metadata = {});

}  // namespace rpc

#endif  // SERVICE_RPC_STATUS_H_
