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

// A random graph of entries, each of which returns, fails, throws or hangs, after a
// random time, or is in a hurry meanwhile; and what shutdown_registry.h guarantees of
// every one.
//
// Whatever breaks a guarantee fails the test, with the words of `who`.
//
// Threads: closers run on their own; the rest is called by those who are named there.
class RandomEntries {
 public:
  struct Options {
    std::size_t most = 12;
    bool use_each_other = true;
    std::function<void()> hurry;  // Asks CloseAll() to be in a hurry.
    std::stop_token hurried;      // It was asked.
    // Called by each closer as it begins.
    std::function<void()> on_begun = [] {};
  };

  // Registers them, named "0", "1", ... `registry` outlives what is registered, but no
  // closer that hangs.
  RandomEntries(std::string who, std::mt19937& random, std::shared_ptr<Simulation> simulation,
                ShutdownRegistry& registry, Options options);

  // What CloseAll() tells; on its thread.
  void Told(const ShutdownRegistry::Closed& closed);

  // Every closer whose turn it is by the guarantees has begun, given that CloseAll()
  // waits. Any thread.
  bool AllBegun() const;

  // Every one has been told of. Any thread.
  bool AllTold() const;

  // Requires: CloseAll() has returned.
  void Check() const;

  // One does not return at all, or not in its time.
  bool AnyLeft() const;

 private:
  struct Entries;

  // Shared with the closers, of which some are there still when the test is over.
  const std::shared_ptr<Entries> entries_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_RANDOM_ENTRIES_H_
