#include "service/postgres/migrations.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace postgres {
namespace {

// Any number that nobody else locks: "migrate".
constexpr std::int64_t kLock = 0x6d696772617465;

struct Version {
  std::string application;
  std::int64_t version = 0;
  std::int64_t contracted = 0;  // See Schema.
};

// In the schema that CREATE TABLE would put it into.
constexpr char kFindVersionTable[] = R"sql(
  SELECT 1 WHERE to_regclass(quote_ident(current_schema()) || '.schema_version') IS NOT NULL
)sql";

constexpr char kVersionTable[] = R"sql(
  CREATE TABLE schema_version (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    application text NOT NULL,
    version     bigint NOT NULL,
    contracted  bigint NOT NULL  -- A program must know the migrations up to here.
  );
)sql";

// Even IF NOT EXISTS, to create a table takes a right that is not needed any more once it is there.
absl::Status MakeVersionTable(Connection& connection, TimePoint deadline) {
  const absl::StatusOr<Rows> found = connection.Query(Statement(kFindVersionTable), deadline);
  if (!found.ok() || found->size() > 0) return found.status();
  return connection.RunScript(kVersionTable, deadline);
}

absl::StatusOr<Version> ReadVersion(Connection& connection, TimePoint deadline) {
  const absl::StatusOr<Rows> row = connection.Query(
      Statement("SELECT application, version, contracted FROM schema_version"), deadline);
  if (!row.ok()) return row.status();
  if (row->size() == 0) return Version();
  return Version{row->String(0, 0), row->Int64(0, 1), row->Int64(0, 2)};
}

absl::Status Check(const Version& found, const Schema& schema) {
  if (!found.application.empty() && found.application != schema.application) {
    return absl::FailedPreconditionError(
        absl::StrCat("its tables belong to another application, ", found.application,
                     "; name another database, or a schema (options=-csearch_path%3DNAME)"));
  }
  if (found.version < 0) {
    return absl::DataLossError(absl::StrCat("the version in its table schema_version is ",
                                            found.version,
                                            ": it is damaged; restore it from a backup"));
  }
  const auto known = static_cast<std::int64_t>(schema.migrations.size());
  if (found.contracted > known) {
    return absl::FailedPreconditionError(
        absl::StrCat("a newer version of this program has changed its tables (schema ",
                     found.contracted, ", this one knows ", known, "); run that version"));
  }
  return absl::OkStatus();
}

constexpr char kToChange[] =
    "; the first start of a version makes tables: let the tables' owner do it, who needs GRANT "
    "CREATE ON SCHEMA";
constexpr char kToRead[] =
    "; give this user GRANT SELECT, INSERT, UPDATE, DELETE on each of the tables";

absl::Status WithRemedy(const absl::Status& status, const char* remedy) {
  if (!absl::IsPermissionDenied(status)) return status;
  return absl::PermissionDeniedError(absl::StrCat(status.message(), remedy));
}

// One migration and the new version, in one transaction.
absl::Status Apply(Connection& connection, const Schema& schema, std::size_t index,
                   TimePoint deadline) {
  const std::size_t contracted = std::min<std::size_t>(schema.contracted, index + 1);
  // An application's name is a constant of the program.
  return connection.RunScript(
      absl::StrCat("BEGIN;", schema.migrations[index],
                   ";INSERT INTO schema_version (application, version, contracted) VALUES ('",
                   schema.application, "', ", index + 1, ", ", contracted,
                   ") ON CONFLICT (one) DO UPDATE SET version = ", index + 1,
                   ", contracted = ", contracted, ";COMMIT"),
      deadline);
}

absl::Status MigrateLocked(Connection& connection, const Schema& schema, TimePoint deadline) {
  absl::Status status = MakeVersionTable(connection, deadline);
  if (!status.ok()) return WithRemedy(status, kToChange);
  const absl::StatusOr<Version> found = ReadVersion(connection, deadline);
  if (!found.ok()) return WithRemedy(found.status(), kToRead);
  status = Check(*found, schema);
  for (std::size_t next = static_cast<std::size_t>(found->version);
       status.ok() && next < schema.migrations.size(); ++next) {
    status = WithRemedy(Apply(connection, schema, next, deadline), kToChange);
  }
  return status;
}

}  // namespace

absl::Status Migrate(Connection& connection, const Schema& schema, TimePoint deadline) {
  // Of the session, not of a transaction: it ends with the connection, whatever happens.
  absl::Status status =
      connection.Query(Statement("SELECT pg_advisory_lock($1)", kLock), deadline).status();
  if (!status.ok()) return status;
  status = MigrateLocked(connection, schema, deadline);
  const absl::Status unlocked =
      connection.Query(Statement("SELECT pg_advisory_unlock($1)", kLock), deadline).status();
  return status.ok() ? unlocked : status;
}

}  // namespace postgres
