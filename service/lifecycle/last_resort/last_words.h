#ifndef SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_

#include <initializer_list>
#include <string_view>

namespace lifecycle {

// Writes `words`, concatenated, as one line without control characters to stderr, bypassing every
// lock and buffer: neither a reader that has stopped reading nor a thread that holds a lock may
// keep the process alive. Anything that stderr cannot take at once (write_without_blocking.h), or
// that exceeds 4 KiB, is dropped.
//
// Takes no lock and allocates no memory.
//
// Threads: any.
void WriteLastWords(std::initializer_list<std::string_view> words);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_
