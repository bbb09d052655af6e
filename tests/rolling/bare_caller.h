#ifndef TESTS_ROLLING_BARE_CALLER_H_
#define TESTS_ROLLING_BARE_CALLER_H_

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include "grpcpp/channel.h"
#include "tests/rolling/evidence.h"
#include "tests/rolling/tally.h"
#include "tests/rolling/target.h"

namespace rolling {

// C++ callers that have nothing but a channel and the generated stub.

struct BareChannel {
  Target target;
  // As in client/service_config.json; empty: pick_first, no health checks, no retries.
  std::string service_config = {};
  // False: not even gRPC's transparent retries of calls that were never sent
  // (grpc.enable_retries=0).
  bool retries = true;
};

// Shares no connection with any other channel.
std::shared_ptr<grpc::Channel> Open(const BareChannel& options);

// The service config of client/service_config.json, and the same without a part of it.
std::string ShippedConfig();
std::string WithoutHealthCheck(const std::string& config);
std::string WithoutRetry(const std::string& config);

// Places orders and reads them back, one call at a time, with a pause in between. `wait_for_ready`:
// a call waits while its channel has no connection, instead of failing at once.
void PlaceAndRead(const std::shared_ptr<grpc::Channel>& channel, bool wait_for_ready,
                  std::chrono::milliseconds think_time, Tally& tally, Evidence& evidence,
                  const std::stop_token& stop);

// Watches from the first event on; opens the stream again where it ended. An end without a goodbye
// is a failure.
void Watch(const std::shared_ptr<grpc::Channel>& channel, Tally& tally, Journal<Event>& told,
           const std::stop_token& stop);

}  // namespace rolling

#endif  // TESTS_ROLLING_BARE_CALLER_H_
