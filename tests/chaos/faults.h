#ifndef TESTS_CHAOS_FAULTS_H_
#define TESTS_CHAOS_FAULTS_H_

#include <chrono>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace chaos {

using Random = std::mt19937;

// A duration between the two.
std::chrono::milliseconds Between(Random& random, int least_ms, int most_ms);

// How often each kind of fault has happened, and what should not have happened.
//
// Threads: all methods may be called from any thread.
class Tally {
 public:
  void Count(const std::string& kind);
  // Says so at once: what comes next may be the end of the process.
  void Violation(const std::string& sentence);

  std::map<std::string, int> counts() const;
  std::vector<std::string> violations() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> counts_;    // Guarded by mutex_.
  std::vector<std::string> violations_;  // Guarded by mutex_.
};

// One thing that may happen to a process, a disk or a link. `inflict` returns when it is over, and
// all is well again.
struct Fault {
  std::string kind;
  int weight = 1;
  std::function<void(Random&)> inflict;
};

// Lets faults happen at random, one at a time, on a thread of its own.
//
// The thread lives until this is destroyed: it is the parent of the processes that it has restarted.
class Torment {
 public:
  // `most_pause_ms`: between two faults.
  Torment(unsigned seed, int most_pause_ms, std::vector<Fault> faults, Tally& tally);
  // Also Stop(), if that was not called.
  ~Torment();

  // No more faults.
  void RequestStop() { thread_.request_stop(); }
  // The same; returns when the last one is over.
  void Stop();

 private:
  void Run(const std::stop_token& stop);

  Random random_;
  const int most_pause_ms_;
  const std::vector<Fault> faults_;
  Tally& tally_;
  std::latch healed_{1};
  std::latch over_{1};
  std::jthread thread_;  // Last: it uses the others.
};

}  // namespace chaos

#endif  // TESTS_CHAOS_FAULTS_H_
