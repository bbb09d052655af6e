#ifndef SERVICE_LIFECYCLE_LAST_RESORT_RUN_OR_CATCH_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_RUN_OR_CATCH_H_

#include <functional>

#include "absl/status/status.h"

namespace lifecycle {

// Runs code that we did not write, and catches what it throws, which would end the process.
//
// Errors: those of `work`. INTERNAL: it threw; the message says what.
absl::Status RunOrCatch(const std::function<absl::Status()>& work);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_RUN_OR_CATCH_H_
