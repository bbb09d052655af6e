#ifndef CLIENT_PLAIN_TEXT_H_
#define CLIENT_PLAIN_TEXT_H_

#include <string>
#include <string_view>

namespace client {

// Text from the wire must neither break a line nor control a terminal, nor show something else than
// it says. Not plain are control characters (C0, DEL, C1), characters that reorder or break a line
// (bidirectional marks, embeddings, overrides and isolates, U+2028, U+2029), invisible format
// characters and tags, and bytes that are not UTF-8. Joiners (U+200C, U+200D) are: words and emoji
// need them. The service has the same list (service/observability/printable.h).

// `text` with a space in place of everything that is not plain; bytes that are not UTF-8 become
// U+FFFD.
std::string OneLine(std::string_view text);

// JSON in which everything that is not plain is escaped (\u202e). Requires: it is well-formed, so
// that such characters are inside of strings.
std::string PlainJson(std::string_view json);

// `text` as one word of a shell's command line, quoted if a shell might see more in it. Not plain:
// OneLine() of a quoted word is a quoted word.
std::string ShellWord(std::string_view text);

}  // namespace client

#endif  // CLIENT_PLAIN_TEXT_H_
