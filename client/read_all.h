#ifndef CLIENT_READ_ALL_H_
#define CLIENT_READ_ALL_H_

#include <istream>
#include <string>

namespace client {

// Reads a stream to its end. Where that fails, as of a directory, its iterators would throw, and this
// returns an errno; otherwise 0.
int ReadAll(std::istream& in, std::string& text);

}  // namespace client

#endif  // CLIENT_READ_ALL_H_
