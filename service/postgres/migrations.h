#ifndef SERVICE_POSTGRES_MIGRATIONS_H_
#define SERVICE_POSTGRES_MIGRATIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/postgres/connection.h"

namespace postgres {

// The tables that a program needs, as the steps that create and change them.
struct Schema {
  // The program that owns the tables. Never changes.
  std::string application;
  // migrations[n] is the SQL that leads from version n to n + 1. Append only; never edit.
  //
  // During a roll-out, and after a roll-back, older programs use the database beside newer ones. So
  // expand first: add tables, and columns that have a default. Contract in a later release, when no
  // program uses what is removed.
  std::vector<std::string> migrations;
  // The number of the last migration that removes something (its index + 1): programs that know
  // fewer migrations must no longer use the database. 0: all migrations only add.
  std::size_t contracted = 0;
};

// Brings the database to the schema's version; each migration is one transaction. When several
// processes call it at once, one migrates and the others wait. A database of a newer version is left
// as it is.
//
// FAILED_PRECONDITION, with a sentence: the tables belong to another application, or were contracted
// by a migration that this program does not know. PERMISSION_DENIED, with the right that is missing:
// the user may not create or change tables, and there is something to create or change. DATA_LOSS:
// the version that is stored is negative. Otherwise: Connection's errors.
absl::Status Migrate(Connection& connection, const Schema& schema, TimePoint deadline);

}  // namespace postgres

#endif  // SERVICE_POSTGRES_MIGRATIONS_H_
