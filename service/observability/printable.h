#ifndef SERVICE_OBSERVABILITY_PRINTABLE_H_
#define SERVICE_OBSERVABILITY_PRINTABLE_H_

#include <string>
#include <string_view>

namespace observability {

// `text` as one line that a terminal and a log take for text: control characters, what
// reorders or breaks a line (bidirectional controls, U+2028), and bytes that are not UTF-8
// are escaped, as in "\n", "\x1b", "\u202e". All else stays as it is, backslashes included.
std::string Printable(std::string_view text);

// `text` with whatever is not UTF-8 in it replaced by U+FFFD: JSON knows nothing else.
std::string ValidUtf8(std::string_view text);

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_PRINTABLE_H_
