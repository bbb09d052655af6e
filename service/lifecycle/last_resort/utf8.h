#ifndef SERVICE_LIFECYCLE_LAST_RESORT_UTF8_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace lifecycle {

struct Character {
  std::size_t length = 0;  // In bytes; 0: not UTF-8.
  char32_t code_point = 0;
};

// The character that begins at `at`, which lies within `text`. Takes no lock and allocates no memory.
Character CharacterAt(std::string_view text, std::size_t at);

// `text` with U+FFFD in place of each byte that is not UTF-8: JSON allows nothing else, and of a
// message with such a byte in a string field, receivers parse nothing.
std::string ValidUtf8(std::string_view text);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_UTF8_H_
