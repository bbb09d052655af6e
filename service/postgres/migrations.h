#ifndef SERVICE_POSTGRES_MIGRATIONS_H_
#define SERVICE_POSTGRES_MIGRATIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/postgres/connection.h"

namespace postgres {

// What a database must look like, and how to bring it there.
struct Schema {
  // Whose tables they are; never changed.
  std::string application;
  // migrations[n] is the SQL that leads from version n to n + 1. Append only; never edit.
  //
  // While a new version is rolled out, and after its roll-back, older programs use the database
  // beside newer ones. So expand first: add tables, and columns that have a default. Contract in a
  // later release, when no program uses any more what is taken away.
  std::vector<std::string> migrations;
  // The number of the last migration that takes something away (its index + 1): programs that know
  // fewer migrations must not use the database any more. 0: all of them only add.
  std::size_t contracted = 0;
};

// Brings the database to the schema's version; each migration is one transaction. When several
// processes do it at once, one does, and the others wait. A newer version is left as it is.
//
// FAILED_PRECONDITION, in a sentence: the tables are another application's, or were contracted by a
// migration that this program does not know. Else: Connection's errors.
absl::Status Migrate(Connection& connection, const Schema& schema, TimePoint deadline);

}  // namespace postgres

#endif  // SERVICE_POSTGRES_MIGRATIONS_H_
