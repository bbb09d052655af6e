#include "service/config/connection_age.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace config {

absl::Duration ConnectionAgeFor(absl::Duration connections) {
  if (connections == absl::ZeroDuration()) return absl::ZeroDuration();
  return std::max(connections * 8 / 10, absl::Seconds(1));
}

std::string ConnectionAgeWarning(absl::Duration age, absl::Duration connections) {
  const absl::Duration oldest = age * 11 / 10;
  if (oldest <= connections) return "";
  return absl::StrCat("a connection is asked to leave when it is up to ",
                      absl::FormatDuration(oldest),
                      " old (--connection_age=", absl::FormatDuration(age),
                      " and a tenth), but a stop waits ", absl::FormatDuration(connections),
                      " for connections to leave (--stop_connections): callers who look at no "
                      "health may lose calls; raise the one or lower the other");
}

}  // namespace config
