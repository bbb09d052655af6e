#ifndef TESTS_ROLLING_SCRAPER_H_
#define TESTS_ROLLING_SCRAPER_H_

#include <stop_token>
#include <string>

#include "tests/rolling/tally.h"

namespace rolling {

// Asks for the metrics of one replica once a second, as Prometheus does, until a stop is requested.
// While it is being restarted it is asked again the next time, and that counts as retried.
void Scrape(const std::string& address, Tally& tally, const std::stop_token& stop);

}  // namespace rolling

#endif  // TESTS_ROLLING_SCRAPER_H_
