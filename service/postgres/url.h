#ifndef SERVICE_POSTGRES_URL_H_
#define SERVICE_POSTGRES_URL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace postgres {

// Where a PostgreSQL server is and how to log in: postgresql://USER:PASSWORD@HOST:PORT/DATABASE?...,
// with every parameter that libpq knows (sslmode, sslrootcert, target_session_attrs, passfile, ...).
//
// The problem: a password in a URL must not reach a log or an error. So the text of the URL never
// leaves this class, description() names the server without it, and every text that comes from
// libpq goes through Hide().
//
// Threads: any; it never changes.
class Url {
 public:
  // Whether `text` is meant as such a URL: it begins with postgresql:// or postgres://.
  static bool Is(absl::string_view text);

  // INVALID_ARGUMENT, in a sentence that repeats nothing of `text`: libpq cannot read it.
  static absl::StatusOr<Url> Parse(const std::string& text);

  // "postgresql://user@host:5432/database"
  const std::string& description() const { return description_; }

  // `text` with "***" instead of each secret of this URL.
  std::string Hide(std::string text) const;

  // The names and values of its parameters, for libpq.
  const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::vector<std::string> secrets_;
  std::string description_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_URL_H_
