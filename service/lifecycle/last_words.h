#ifndef SERVICE_LIFECYCLE_LAST_WORDS_H_
#define SERVICE_LIFECYCLE_LAST_WORDS_H_

#include <string>

namespace lifecycle {

// Writes one line to stderr, past every lock and buffer, and never blocks: a reader
// that has stopped reading must not keep the process alive. What stderr cannot take
// at once is lost, and so is what is longer than 4000 bytes.
//
// Threads: any.
void WriteLastWords(std::string words);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_WORDS_H_
