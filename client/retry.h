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

// A stream broke and will be opened again.
struct Interruption {
  const absl::Status& why;
  // Until the next attempt.
  Clock::Duration wait;
  // How many times in a row the server did not answer, including this one.
  int failures;
};

// How a broken stream is opened again.
struct RetryOptions {
  // The wait after the first failure; each further failure multiplies it.
  std::chrono::milliseconds initial_backoff{100};
  std::chrono::milliseconds max_backoff{2000};
  double multiplier = 1.6;
  // How long to try without an answer, counted from the first failure; unset: forever.
  std::optional<std::chrono::milliseconds> give_up_after = std::nullopt;
  // How many times in a row a stream may end with what only a proxy's trouble explains
  // (Retry::MayCure()), before it is believed.
  int max_unexplained = 10;
  // Called before each wait.
  std::function<void(const Interruption&)> on_retry = nullptr;
};

// Whether the same call may succeed a little later: UNAVAILABLE; CANCELLED (by the server; whoever
// cancels a call itself does not ask); RESOURCE_EXHAUSTED because the server is OVERLOADED, not
// because the request is too large.
bool IsRetryable(const absl::Status& status);

// Decides whether and when a broken stream is opened again.
//
// The problem: clients that come back immediately, or all at the same moment, overload a server
// that is just starting. So each waits as long as the server asked for (RetryInfo), plus a backoff
// that grows with every failure and is drawn at random from its upper half.
//
// Threads: one at a time. Lifetime: `options` and `clock` outlive it.
class Retry {
 public:
  // Whether a stream that ended so may be opened again: IsRetryable(), and UNKNOWN or INTERNAL
  // without our ErrorInfo. A proxy that dies, or resets a stream (RST_STREAM), leaves nothing else
  // behind, and a stream that is resumed repeats nothing.
  static bool MayCure(const absl::Status& status);

  Retry(const RetryOptions& options, Clock& clock, std::stop_token stop);

  // The server has answered: resets the backoff and the limit.
  void Succeeded();

  // Waits until the stream may be opened again after it ended with `status`; for a stream that
  // should not end, OK is a failure, too. False if it should not be opened again: the status is
  // final, a stop is requested, the next attempt would come after give_up_after, or the server
  // fails so without an explanation again and again (max_unexplained).
  bool AwaitNext(const absl::Status& status);

 private:
  const RetryOptions& options_;
  Clock& clock_;
  const std::stop_token stop_;
  std::random_device random_;
  std::chrono::duration<double, std::milli> backoff_;
  std::optional<Clock::TimePoint> failing_since_;
  int failures_ = 0;
  int unexplained_ = 0;
};

}  // namespace client

#endif  // CLIENT_RETRY_H_
