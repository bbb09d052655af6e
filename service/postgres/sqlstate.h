#ifndef SERVICE_POSTGRES_SQLSTATE_H_
#define SERVICE_POSTGRES_SQLSTATE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace postgres {

// Maps an SQLSTATE, PostgreSQL's five-character error code, to a status code.
//
// UNAVAILABLE: try again; the server is shutting down, starting, full or read-only, lets nobody into
// the database or has ended the session, a lock was not free in time, or the transaction was a
// deadlock's victim. DEADLINE_EXCEEDED: the server ended the statement at its time
// limit. DATA_LOSS: a page or an index is damaged. PERMISSION_DENIED: wrong login or missing rights.
// NOT_FOUND: there is no such database. INVALID_ARGUMENT: a value that the database cannot store,
// such as text with a zero byte. INTERNAL: the SQL is wrong or violates a constraint.
absl::StatusCode CodeForSqlState(absl::string_view sqlstate);

}  // namespace postgres

#endif  // SERVICE_POSTGRES_SQLSTATE_H_
