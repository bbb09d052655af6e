#ifndef SERVICE_OBSERVABILITY_PRINTABLE_H_
#define SERVICE_OBSERVABILITY_PRINTABLE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace observability {

// Escapes `text` so that it is one line of plain text for a terminal and a log: control characters,
// characters that reorder or break a line (bidirectional controls, U+2028), invisible format
// characters and tags, and bytes that are not UTF-8 become "\n", "\x1b", "\u202e". Everything else,
// including backslashes and the joiners of words and emoji, stays as it is. The client has the same
// list (client/plain_text.h).
std::string Printable(std::string_view text);
// The same, at the end of `line`.
void AppendPrintable(std::string& line, std::string_view text);

// The same for a value, which must stay one word: spaces of every kind are escaped, too ("\x20",
// "\u3000").
void AppendPrintableWord(std::string& line, std::string_view text);

// Cuts `text` at a character, with "..." at the end, if it is longer than `most` bytes. Requires:
// UTF-8, as Printable() returns it; most >= 3.
void CutOff(std::string& text, std::size_t most);

// `text` as a JSON string, with its quotes, of at most `max_bytes`: cut at a character, with "..." at
// the end, if it would be longer. What Printable() escapes is escaped, as JSON has it.
//
// Requires: max_bytes >= 8.
std::string JsonString(std::string_view text, std::size_t max_bytes);

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_PRINTABLE_H_
