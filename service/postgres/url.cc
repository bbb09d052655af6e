#include "service/postgres/url.h"

#include <libpq-fe.h>

#include <cstddef>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace postgres {
namespace {

std::string Describe(const std::map<std::string, std::string>& values) {
  const auto value = [&](const char* name) {
    const auto found = values.find(name);
    return found == values.end() ? std::string() : found->second;
  };
  const std::string user = value("user");
  const std::string host = value("host").empty() ? value("hostaddr") : value("host");
  const std::string port = value("port");
  const std::string database = value("dbname");
  return absl::StrCat("postgresql://", user, user.empty() ? "" : "@", host, port.empty() ? "" : ":",
                      port, database.empty() ? "" : "/", database);
}

absl::Status Unreadable() {
  return absl::InvalidArgumentError(
      "the database's URL cannot be read; it looks like "
      "postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full, with %XX for special characters "
      "(it is not repeated here because of the password that it may have)");
}

// Whether the part between the login and the parameters has an @, as in
// "postgresql://ada:12/s3cret@db": libpq ends the login at the first @ or /, and takes the rest of a
// password for the host, the port or the database.
bool HasAnotherAt(absl::string_view text) {
  text.remove_prefix(text.find("://") + 3);
  const std::size_t end = text.find_first_of("@/");
  if (end != absl::string_view::npos && text[end] == '@') text.remove_prefix(end + 1);
  return absl::StrContains(text.substr(0, text.find('?')), "@");
}

// "5432", or one for each host: "5432,5433".
bool IsPort(absl::string_view text) {
  return text.find_first_not_of("0123456789,") == absl::string_view::npos;
}

}  // namespace

bool Url::Is(absl::string_view text) {
  return absl::StartsWith(text, "postgresql://") || absl::StartsWith(text, "postgres://");
}

absl::StatusOr<Url> Url::Parse(const std::string& text) {
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(text.c_str(), &error), &PQconninfoFree);
  PQfreemem(error);  // It repeats parts of the text, which may be those of the password.
  if (!Is(text) || options == nullptr || HasAnotherAt(text)) return Unreadable();
  Url url;
  std::map<std::string, std::string> values;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr || *option->val == '\0') continue;
    url.parameters_.emplace_back(option->keyword, option->val);
    values[option->keyword] = option->val;
    // How libpq marks what must not be shown while it is typed.
    if (absl::string_view(option->dispchar) == "*") url.secrets_.emplace_back(option->val);
  }
  if (!IsPort(values["port"])) return Unreadable();
  url.description_ = url.Hide(Describe(values));
  return url;
}

std::string Url::Hide(std::string text) const {
  std::vector<std::pair<absl::string_view, absl::string_view>> hidden;
  for (const std::string& secret : secrets_) hidden.emplace_back(secret, "***");
  return absl::StrReplaceAll(text, hidden);  // At once: the longest one counts.
}

}  // namespace postgres
