#include "service/postgres/sqlstate.h"

#include "absl/strings/match.h"

namespace postgres {
namespace {

struct Meaning {
  absl::string_view prefix;
  absl::StatusCode code;
};

// The first that fits. PostgreSQL's manual has the list, in its appendix "Error Codes".
constexpr Meaning kMeanings[] = {
    {"08", absl::StatusCode::kUnavailable},          // connection exceptions
    {"22", absl::StatusCode::kInvalidArgument},      // data exceptions
    {"25006", absl::StatusCode::kUnavailable},       // read-only: a standby
    {"25P03", absl::StatusCode::kUnavailable},       // idle_in_transaction_session_timeout
    {"25P04", absl::StatusCode::kUnavailable},       // transaction_timeout
    {"28", absl::StatusCode::kPermissionDenied},     // wrong user or password
    {"3D", absl::StatusCode::kNotFound},             // no such database
    {"40", absl::StatusCode::kUnavailable},          // rolled back: deadlock, serialisation
    {"42501", absl::StatusCode::kPermissionDenied},  // no right to do that
    {"53", absl::StatusCode::kUnavailable},          // disk, memory, connections
    {"55000", absl::StatusCode::kUnavailable},       // the database lets nobody in now
    {"55006", absl::StatusCode::kUnavailable},       // others use it now
    {"55P03", absl::StatusCode::kUnavailable},       // a lock was not free
    {"57014", absl::StatusCode::kDeadlineExceeded},  // cancelled, or statement_timeout
    {"57P04", absl::StatusCode::kNotFound},          // the database was dropped
    {"57", absl::StatusCode::kUnavailable},          // shutting down, starting, crashed
    {"58", absl::StatusCode::kUnavailable},          // the server's disk
    {"72000", absl::StatusCode::kUnavailable},       // old_snapshot_threshold
    {"XX001", absl::StatusCode::kDataLoss},          // damaged table
    {"XX002", absl::StatusCode::kDataLoss},          // damaged index
};

}  // namespace

absl::StatusCode CodeForSqlState(absl::string_view sqlstate) {
  for (const Meaning& meaning : kMeanings) {
    if (absl::StartsWith(sqlstate, meaning.prefix)) return meaning.code;
  }
  return absl::StatusCode::kInternal;
}

}  // namespace postgres
