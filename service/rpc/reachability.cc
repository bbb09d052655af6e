#include "service/rpc/reachability.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace rpc {

std::string Reachability::ProxyHint() {
  // The variables that gRPC looks at, in its order.
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') {
      return absl::StrCat("; ", name, " is set: gRPC connects through that proxy, unless no_proxy ",
                          "names the backend");
    }
  }
  return "";
}

void Reachability::Heard(const grpc::Status& status) {
  switch (status.error_code()) {
    // What the caller or we have cut short tells nothing.
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return;
    case grpc::StatusCode::UNAVAILABLE:
      // The backend's own word has details; gRPC's has none.
      if (!status.error_details().empty()) break;
      return Is(Last::kUnreachable, status.error_message());
    default:
      break;
  }
  Is(Last::kReachable, "");
}

void Reachability::SaidUnreachable() {
  std::lock_guard lock(mutex_);
  last_ = Last::kUnreachable;
}

void Reachability::Is(Last now, const std::string& why) {
  std::lock_guard lock(mutex_);
  const Last before = std::exchange(last_, now);
  if (before == now) return;
  if (now == Last::kUnreachable) {
    write_(absl::StrCat(target_, " cannot be reached: ", absl::CHexEscape(why), ProxyHint()));
  } else if (before == Last::kUnreachable) {
    write_(absl::StrCat(target_, " can be reached again"));
  }
}

}  // namespace rpc
