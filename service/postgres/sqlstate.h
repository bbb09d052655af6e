#ifndef SERVICE_POSTGRES_SQLSTATE_H_
#define SERVICE_POSTGRES_SQLSTATE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace postgres {

// What the server's five letters for an error mean to a caller.
//
// UNAVAILABLE: try again; the server is going away, coming up, full, read-only, or met a deadlock.
// DEADLINE_EXCEEDED: it ended the statement in time. DATA_LOSS: a page or an index is damaged.
// PERMISSION_DENIED: login or rights. NOT_FOUND: there is no such database. INVALID_ARGUMENT: a
// value that the database cannot hold, such as a text with a zero byte. INTERNAL: the SQL is wrong,
// or breaks a constraint.
absl::StatusCode CodeForSqlState(absl::string_view sqlstate);

}  // namespace postgres

#endif  // SERVICE_POSTGRES_SQLSTATE_H_
