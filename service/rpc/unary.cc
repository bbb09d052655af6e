#include "service/rpc/unary.h"

#include <chrono>

namespace rpc {

absl::Status Call::Abandoned() const {
  if (context_->IsCancelled()) return absl::CancelledError("the caller has gone");
  if (context_->deadline() < std::chrono::system_clock::now()) {
    return absl::DeadlineExceededError("the caller's deadline is over");
  }
  return absl::OkStatus();
}

}  // namespace rpc
