#ifndef CLIENT_RETRY_H_
#define CLIENT_RETRY_H_

#include <chrono>
#include <functional>
#include <optional>
#include <random>
#include <stop_token>

#include "absl/status/status.h"
#include "client/clock.h"

namespace client {

// A stream broke, and will be opened again.
struct Interruption {
  const absl::Status& why;
  // Until the next try.
  Clock::Duration wait;
  // How many times in a row the server did not answer, this one included.
  int failures;
};

// How a stream that broke is opened again.
struct RetryOptions {
  // The wait after the first failure; each further one multiplies it.
  std::chrono::milliseconds initial_backoff{100};
  std::chrono::milliseconds max_backoff{2000};
  double multiplier = 1.6;
  // How long to try without an answer, counted from the first failure; unset: for
  // ever.
  std::optional<std::chrono::milliseconds> give_up_after = std::nullopt;
  // Told before each wait.
  std::function<void(const Interruption&)> on_retry = nullptr;
};

// Whether the same call may succeed a little later: UNAVAILABLE; CANCELLED (by the
// server: who cancelled the call itself does not ask); RESOURCE_EXHAUSTED because
// the server is OVERLOADED, not because the request is too large.
bool IsRetryable(const absl::Status& status);

// Whether and when one stream that broke is opened again.
//
// The problem: callers that come back at once, or all at the same moment, knock
// over the server that is just starting. So each waits as long as the server asked
// for (RetryInfo), and on top of it for a backoff that grows with every failure and
// is drawn by lot from its upper half.
//
// Threads: one at a time. Lifetime: `options` and `clock` outlive it.
class Retry {
 public:
  Retry(const RetryOptions& options, Clock& clock, std::stop_token stop);

  // The server has answered: the backoff and the limit begin anew.
  void Succeeded();

  // Waits until the stream may be opened again after it ended with `status`; OK is
  // a failure too, for a stream that should not end. False when it should not be:
  // the status is final, a stop is requested, or the next try would come after
  // give_up_after.
  bool AwaitNext(const absl::Status& status);

 private:
  const RetryOptions& options_;
  Clock& clock_;
  const std::stop_token stop_;
  std::minstd_rand random_{std::random_device{}()};
  std::chrono::duration<double, std::milli> backoff_;
  std::optional<Clock::TimePoint> failing_since_;
  int failures_ = 0;
};

}  // namespace client

#endif  // CLIENT_RETRY_H_
