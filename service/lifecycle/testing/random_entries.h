#ifndef SERVICE_LIFECYCLE_TESTING_RANDOM_ENTRIES_H_
#define SERVICE_LIFECYCLE_TESTING_RANDOM_ENTRIES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/testing/simulation.h"

namespace lifecycle {

// A random graph of registry entries that return, fail, throw or hang after a random time, or
// expedite the shutdown meanwhile; checks what shutdown_registry.h guarantees for each.
//
// A broken guarantee fails the test; the message begins with `who`.
//
// Threads: closers run on their own; the rest is called by the thread named at each method.
class RandomEntries {
 public:
  struct Options {
    std::size_t most = 12;
    bool use_each_other = true;
    std::function<void()> expedite;  // Expedites CloseAll().
    std::stop_token expedited;       // Requested once expedited.
    // Called by each closer when it begins.
    std::function<void()> on_begun = [] {};
  };

  // Registers the entries, named "0", "1", ... `registry` outlives every entry except closers that
  // hang.
  RandomEntries(std::string who, std::mt19937& random, std::shared_ptr<Simulation> simulation,
                ShutdownRegistry& registry, Options options);

  // Takes what CloseAll() reports; on CloseAll()'s thread.
  void Told(const ShutdownRegistry::Closed& closed);

  // Whether every closer whose turn it is has begun, given that CloseAll() is waiting. Any thread.
  bool AllBegun() const;

  // Whether every entry was reported. Any thread.
  bool AllTold() const;

  // Requires: CloseAll() has returned.
  void Check() const;

  // Whether an entry never returns, or not in time.
  bool AnyLeft() const;

 private:
  struct Entries;

  // Shared with the closers, some of which are still running when the test is over.
  const std::shared_ptr<Entries> entries_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_RANDOM_ENTRIES_H_
