#ifndef SERVICE_ORDERS_RESUME_TOKEN_H_
#define SERVICE_ORDERS_RESUME_TOKEN_H_

#include <cstdint>
#include <optional>
#include <string>

namespace orders {

// A position in the order log, or in the list of orders, as callers hold it: opaque, and valid on
// every replica that shares the database. A check number distinguishes our tokens from anything
// else, one kind from the other, and one database from another.
enum class TokenKind : char { kWatch = 'w', kPage = 'p' };

// `database`: OrderStore::DatabaseId().
std::string MakeToken(TokenKind kind, const std::string& database, std::int64_t position);

// Unset: not a token of this kind that MakeToken() has made for this database.
std::optional<std::int64_t> ReadToken(TokenKind kind, const std::string& database,
                                      const std::string& token);

}  // namespace orders

#endif  // SERVICE_ORDERS_RESUME_TOKEN_H_
