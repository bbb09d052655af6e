#ifndef SERVICE_CONFIG_CONNECTION_AGE_H_
#define SERVICE_CONFIG_CONNECTION_AGE_H_

#include <string>

#include "absl/time/time.h"

namespace config {

// How old a connection may become so that all are led away in a stop that has
// `connections` for it: gRPC adds up to a tenth to the age, and the rest is for the last
// calls. A second at least, or callers would be at little else than connecting; 0, for
// ever, when the stop does not wait for connections at all.
absl::Duration ConnectionAgeFor(absl::Duration connections);

// What is wrong when connections of that age are not led away in that time, with both
// numbers; empty: nothing, or they never age at all (0), which somebody wants.
std::string ConnectionAgeWarning(absl::Duration age, absl::Duration connections);

}  // namespace config

#endif  // SERVICE_CONFIG_CONNECTION_AGE_H_
