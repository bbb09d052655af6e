#ifndef SERVICE_ORDERS_RESUME_TOKEN_H_
#define SERVICE_ORDERS_RESUME_TOKEN_H_

#include <cstdint>
#include <optional>
#include <string>

namespace orders {

// A position in the order log, or in the list of orders, as callers hold it: opaque, and valid
// forever on every replica. A check digit distinguishes our tokens from anything else, and one kind
// from the other.
enum class TokenKind : char { kWatch = 'w', kPage = 'p' };

std::string MakeToken(TokenKind kind, std::int64_t position);

// Unset: not a token of this kind that MakeToken() has made.
std::optional<std::int64_t> ReadToken(TokenKind kind, const std::string& token);

}  // namespace orders

#endif  // SERVICE_ORDERS_RESUME_TOKEN_H_
