#ifndef SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_

#include <initializer_list>
#include <string_view>

namespace lifecycle {

// Writes `words`, one behind the other, as one line without control characters to stderr, past every lock and
// buffer: a reader that has stopped reading must not keep the process alive, nor may
// whoever holds a lock. What stderr cannot take at once is lost
// (write_without_blocking.h), and so is what is longer than 4 KiB.
//
// Takes no lock and no memory.
//
// Threads: any.
void WriteLastWords(std::initializer_list<std::string_view> words);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_LAST_WORDS_H_
