#ifndef TESTS_ROLLING_TALLY_H_
#define TESTS_ROLLING_TALLY_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace rolling {

// What one caller saw of the restarts.
struct Counts {
  // Unary calls, and messages of streams, that were answered.
  std::int64_t answered = 0;
  // What a user of this caller would have noticed: calls that ended with an error,
  // and streams that ended without a goodbye.
  std::int64_t failed = 0;
  // Tries to open a stream that were in vain and repeated.
  std::int64_t retried = 0;
  // Streams that were told goodbye and went on where they were.
  std::int64_t resumed = 0;

  Counts& operator+=(const Counts& other);
  bool operator==(const Counts&) const = default;
};

// Counts for one caller, and remembers its first failures.
//
// Threads: all methods may be called from any thread.
class Tally {
 public:
  void Answered();
  void Failed(const std::string& why);
  void Retried();
  void Resumed();

  Counts counts() const;
  std::vector<std::string> failures() const;

 private:
  mutable std::mutex mutex_;
  Counts counts_;                      // Guarded by mutex_.
  std::vector<std::string> failures_;  // Guarded by mutex_.
};

}  // namespace rolling

#endif  // TESTS_ROLLING_TALLY_H_
