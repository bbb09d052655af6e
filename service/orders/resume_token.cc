#include "service/orders/resume_token.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace orders {
namespace {

// FNV-1a. It guards against a caller's slips, not against forgery: a made-up token shows nothing
// that a true one would not.
std::uint64_t Check(const std::string& database, const std::string& body) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : database + " " + body) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

}  // namespace

std::string MakeToken(TokenKind kind, const std::string& database, std::int64_t position) {
  const std::string body = absl::StrFormat("%c%d", static_cast<char>(kind), position);
  return absl::StrFormat("%s-%016x", body, Check(database, body));
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
