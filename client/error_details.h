#ifndef CLIENT_ERROR_DETAILS_H_
#define CLIENT_ERROR_DETAILS_H_

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/support/status.h"

namespace client {

// Converts a server's answer to absl::Status: code, message, and every google.rpc detail as a
// payload under its type URL, which the functions below read.
absl::Status FromGrpc(const grpc::Status& status);

// What is wrong with each field; unset if the server does not say.
std::optional<google::rpc::BadRequest> FindBadRequest(const absl::Status& status);

// ErrorInfo.reason; empty if there is none.
std::string ErrorReason(const absl::Status& status);

// One entry of ErrorInfo.metadata; unset if there is none.
std::optional<std::string> ErrorMetadata(const absl::Status& status, const std::string& key);

// How long the server asks to wait before the next attempt; unset if it does not say. Never
// negative, at most a day.
std::optional<std::chrono::milliseconds> RetryDelay(const absl::Status& status);

// Everything that a person wants to know, in one line without control characters:
// "INVALID_ARGUMENT: customer: must not be empty; items: at least one"
// "FAILED_PRECONDITION: not enough stock (OUT_OF_STOCK, sku=pear)"
std::string Describe(const absl::Status& status);

}  // namespace client

#endif  // CLIENT_ERROR_DETAILS_H_
