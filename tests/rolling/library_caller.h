#ifndef TESTS_ROLLING_LIBRARY_CALLER_H_
#define TESTS_ROLLING_LIBRARY_CALLER_H_

#include <chrono>
#include <stop_token>
#include <string>

#include "tests/rolling/evidence.h"
#include "tests/rolling/tally.h"
#include "tests/rolling/target.h"

namespace rolling::library {

// C++ callers that use client/orders/orders_client.h as it is. A stream that breaks without
// a goodbye is not their failure: the library opens it again.

// Places orders and reads them back, one call at a time, and thinks in between.
void PlaceAndRead(const Target& target, std::chrono::milliseconds think_time, Tally& tally,
                  Evidence& evidence, const std::stop_token& stop);

// Watches from the first event on.
void Watch(const Target& target, Tally& tally, Journal<Event>& told, const std::stop_token& stop);

// Imports orders without an end.
void Import(const Target& target, Tally& tally, Evidence& evidence, const std::stop_token& stop);

// Follows the orders that others place, one in a few.
void Track(const Target& target, Tally& tally, const Journal<Acknowledged>& placed,
           Tracked& tracked, const std::stop_token& stop);

}  // namespace rolling::library

#endif  // TESTS_ROLLING_LIBRARY_CALLER_H_
