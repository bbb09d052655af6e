#ifndef SERVICE_CONFIG_LIMIT_FLAGS_H_
#define SERVICE_CONFIG_LIMIT_FLAGS_H_

#include "absl/status/statusor.h"
#include "service/rpc/connections/connection_limits.h"

namespace config {

// The limits on connections and calls, as the flags of their names say; connection_limits.h has the
// reasons for them.
//
// INVALID_ARGUMENT, a sentence with the flag's name: a value is out of its range, or two contradict
// each other.
absl::StatusOr<rpc::ConnectionLimits> LimitsFromFlags();

}  // namespace config

#endif  // SERVICE_CONFIG_LIMIT_FLAGS_H_
