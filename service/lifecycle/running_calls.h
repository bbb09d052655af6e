#ifndef SERVICE_LIFECYCLE_RUNNING_CALLS_H_
#define SERVICE_LIFECYCLE_RUNNING_CALLS_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/lifecycle/call_tally.h"

namespace lifecycle {

// Which calls run: "2 /a.B/C, 1 others". Empty: none does.
inline std::string RunningCalls(const CallTally& tally) {
  std::vector<std::string> running;
  for (const CallTally::Method& each : tally.methods) {
    if (each.left > 0) {
      running.push_back(absl::StrCat(each.left, " ", each.name.empty() ? "others" : each.name));
    }
  }
  return absl::StrJoin(running, ", ");
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_RUNNING_CALLS_H_
