#ifndef CLIENT_OUTPUT_H_
#define CLIENT_OUTPUT_H_

#include <ostream>
#include <string>
#include <string_view>

namespace client {

// What a command prints on stdout.
//
// The problem: a full disk, or a pipe whose reader has gone, takes nothing, and a stream that is
// never asked loses everything silently. So each Print() is written at once and checked, and the
// first failure is the last write: what is there is a beginning of what was to be printed.
//
// Threads: one at a time. Lifetime: `out` outlives it.
class Output {
 public:
  explicit Output(std::ostream& out) : out_(out) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Writes all of `text`. False: it could not, now or earlier, and at least a part is lost.
  bool Print(std::string_view text);

  bool failed() const { return !why_.empty(); }
  // "No space left on device"; empty: nothing has failed.
  const std::string& why() const { return why_; }

 private:
  std::ostream& out_;
  std::string why_;
};

}  // namespace client

#endif  // CLIENT_OUTPUT_H_
