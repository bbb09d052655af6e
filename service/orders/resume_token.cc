#include "service/orders/resume_token.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/orders/fnv1a.h"

namespace orders {

std::string MakeToken(TokenKind kind, const std::string& database, std::int64_t position) {
  const std::string body = absl::StrFormat("%c%d", static_cast<char>(kind), position);
  // A forged token shows nothing that a true one would not.
  return absl::StrFormat("%s-%016x", body, Fnv1a(absl::StrCat(database, " ", body)));
}

std::optional<std::int64_t> ReadToken(TokenKind kind, const std::string& database,
                                      const std::string& token) {
  const std::size_t dash = token.rfind('-');
  std::int64_t position = 0;
  if (dash == std::string::npos || dash == 0 ||
      !absl::SimpleAtoi(token.substr(1, dash - 1), &position) || position < 0) {
    return std::nullopt;
  }
  // Only the one spelling of a position is a token.
  if (token != MakeToken(kind, database, position)) return std::nullopt;
  return position;
}

}  // namespace orders
