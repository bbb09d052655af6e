#ifndef SERVICE_POSTGRES_URL_H_
#define SERVICE_POSTGRES_URL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace postgres {

// A PostgreSQL server's address and login: postgresql://USER:PASSWORD@HOST:PORT/DATABASE?..., with
// every parameter that libpq knows (sslmode, sslrootcert, target_session_attrs, passfile, ...).
//
// The problem: a password in a URL must not reach a log or an error message. So the URL's text never
// leaves this class, description() names the server without its password, and every text from libpq
// goes through Hide().
//
// Threads: any; it is immutable.
class Url {
 public:
  // Whether `text` begins with postgresql:// or postgres://.
  static bool Is(absl::string_view text);

  // INVALID_ARGUMENT: libpq cannot parse it, or may take a part of the password for something else,
  // because of an @ or / that is not written as %XX; the message repeats nothing of `text`.
  static absl::StatusOr<Url> Parse(const std::string& text);

  // "postgresql://user@host:5432/database"
  const std::string& description() const { return description_; }

  // `text` with "***" instead of each secret of this URL.
  std::string Hide(std::string text) const;

  // Names and values, for libpq.
  const std::vector<std::pair<std::string, std::string>>& parameters() const { return parameters_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::vector<std::string> secrets_;
  std::string description_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_URL_H_
