#ifndef SERVICE_RPC_FIELD_LENGTH_H_
#define SERVICE_RPC_FIELD_LENGTH_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "service/rpc/status.h"

namespace rpc {

// How many characters (Unicode code points) UTF-8 text has. Protobuf accepts no other text in a
// string field. A person's "é" typed as two code points counts as two.
inline std::size_t CountCharacters(std::string_view utf8) {
  return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  }));
}

// Adds `field` to `wrong` if `value` has the character U+0000. Protobuf and SQLite accept it,
// PostgreSQL holds it in no text.
inline void RequireNoNul(BadRequest& wrong, const std::string& field, std::string_view value) {
  if (value.find('\0') != std::string_view::npos) wrong.Add(field, "must not have U+0000 in it");
}

// Adds `field` to `wrong` unless `value` has 1 to `max` characters, and not U+0000.
inline void RequireLength(BadRequest& wrong, const std::string& field, std::string_view value,
                          std::size_t max) {
  const std::size_t characters = CountCharacters(value);
  if (characters >= 1 && characters <= max) return RequireNoNul(wrong, field, value);
  wrong.Add(field, "must have 1 to " + std::to_string(max) + " characters, has " +
                       std::to_string(characters));
}

}  // namespace rpc

#endif  // SERVICE_RPC_FIELD_LENGTH_H_
