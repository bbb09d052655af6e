#include "service/orders/resume_token.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace orders {
namespace {

// FNV-1a, folded to 16 bits. It guards against slips of a caller's, not against
// forgery: a made-up token shows nothing that a true one would not.
unsigned Check(const std::string& text) {
  std::uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return (hash >> 16) ^ (hash & 0xffff);
}

}  // namespace

std::string MakeToken(TokenKind kind, std::int64_t position) {
  const std::string body = absl::StrFormat("%c%d", static_cast<char>(kind), position);
  return absl::StrFormat("%s-%04x", body, Check(body));
}

std::optional<std::int64_t> ReadToken(TokenKind kind, const std::string& token) {
  const std::size_t dash = token.rfind('-');
  std::int64_t position = 0;
  if (dash == std::string::npos || dash == 0 ||
      !absl::SimpleAtoi(token.substr(1, dash - 1), &position) || position < 0) {
    return std::nullopt;
  }
  // Only the one spelling of a position is a token.
  if (token != MakeToken(kind, position)) return std::nullopt;
  return position;
}

}  // namespace orders
