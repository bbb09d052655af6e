#ifndef TESTS_ROLLING_SCRAPER_H_
#define TESTS_ROLLING_SCRAPER_H_

#include <stop_token>
#include <string>
#include <vector>

#include "tests/rolling/tally.h"

namespace rolling {

// Asks each address for its metrics once a second, as Prometheus does, until a stop is requested. One
// that is being restarted is asked again the next time, and counts as retried.
void Scrape(const std::vector<std::string>& addresses, Tally& tally, const std::stop_token& stop);

}  // namespace rolling

#endif  // TESTS_ROLLING_SCRAPER_H_
