#ifndef SERVICE_LIFECYCLE_TESTING_SEEDS_H_
#define SERVICE_LIFECYCLE_TESTING_SEEDS_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace lifecycle {

// Runs a random test with the seeds 1 to `seeds`, until one fails, and names that seed. The
// environment variable SEED=42 runs that seed alone, SEEDS=100 runs that many.
template <typename Run>
void ForEachSeed(unsigned seeds, Run run) {
  const auto from_environment = [](const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : static_cast<unsigned>(std::stoul(text));
  };
  const unsigned only = from_environment("SEED", 0);
  const unsigned first = only != 0 ? only : 1;
  const unsigned last = only != 0 ? only : from_environment("SEEDS", seeds);
  for (unsigned seed = first; seed <= last && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("SEED=" + std::to_string(seed));
    run(seed);
  }
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_SEEDS_H_
