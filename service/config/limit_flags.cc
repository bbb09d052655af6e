#include "service/config/limit_flags.h"

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

ABSL_FLAG(
    absl::Duration, max_connection_age,
    absl::FromChrono(rpc::ConnectionLimits().max_connection_age),
    "After this time a connection gets a GOAWAY, so that callers spread over new replicas; 0: "
    "never. A shutdown does not need it.");
ABSL_FLAG(absl::Duration, max_connection_idle,
          absl::FromChrono(rpc::ConnectionLimits().max_connection_idle),
          "Close a connection that has had no call for this long; 0: never.");
ABSL_FLAG(absl::Duration, keepalive_time, absl::FromChrono(rpc::ConnectionLimits().keepalive_time),
          "Send a keepalive ping to a peer that has been silent for this long; 0: never.");
ABSL_FLAG(absl::Duration, keepalive_timeout,
          absl::FromChrono(rpc::ConnectionLimits().keepalive_timeout),
          "Close a connection whose peer has not answered a keepalive ping within this time.");
ABSL_FLAG(absl::Duration, min_ping_interval_without_data,
          absl::FromChrono(rpc::ConnectionLimits().min_ping_interval_without_data),
          "Disconnect a caller that pings more often than this without sending data.");
ABSL_FLAG(absl::Duration, max_connection_age_grace,
          absl::FromChrono(rpc::ConnectionLimits().max_connection_age_grace),
          "How much longer calls may run on a connection that has reached its maximum age before "
          "they are cut; 0: without limit.");
ABSL_FLAG(absl::Duration, handshake_timeout,
          absl::FromChrono(rpc::ConnectionLimits().handshake_timeout),
          "Close a connection whose peer has not started to speak HTTP/2 within this time.");
ABSL_FLAG(
    absl::Duration, silent_connection_timeout,
    absl::FromChrono(rpc::ConnectionLimits().silent_connection_timeout),
    "A shutdown closes a connection that does not leave when it has carried no call for this "
    "long; at least 1s. With 6s, and a longer --shutdown_drain_connections, no caller loses a "
    "call that polls its connection only during its calls, as gRPC's blocking clients do.");
ABSL_FLAG(int, max_connections, rpc::ConnectionLimits().max_connections,
          "Open connections; further ones are closed at once; 0: limited by descriptors only.");
ABSL_FLAG(int, reserved_descriptors, rpc::ConnectionLimits().reserved_descriptors,
          "File descriptors that connections leave to operators, databases and backends; at most a "
          "quarter of the process's limit. A quarter of them is off limits for operators, too.");
ABSL_FLAG(int, max_calls_in_flight, rpc::ConnectionLimits().max_calls_in_flight,
          "Concurrent calls on all connections; further calls fail with RESOURCE_EXHAUSTED and "
          "RetryInfo, before all of them become too slow; 0: no limit.");
ABSL_FLAG(
    absl::Duration, max_deadline, absl::FromChrono(rpc::ConnectionLimits().max_deadline),
    "Longest time that a unary call may run, whatever deadline its caller has set: then it is "
    "cancelled, and its caller gets DEADLINE_EXCEEDED; 0: no limit. Streams are not bounded: "
    "they are long-lived on purpose, and end with a resume point when the server shuts "
    "down.");
ABSL_FLAG(absl::Duration, default_deadline,
          absl::FromChrono(rpc::ConnectionLimits().default_deadline),
          "Longest time that a unary call may run whose caller has set no deadline; at most "
          "max_deadline; 0: max_deadline.");
ABSL_FLAG(
    int, max_sync_threads, rpc::ConnectionLimits().max_sync_threads,
    "Threads for handlers of gRPC's synchronous API, each of which occupies one; further calls "
    "of them fail with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int, max_resets_per_second, rpc::ConnectionLimits().max_resets_per_second,
          "End a connection when this many of its calls, and more than half of them, fail within a "
          "second, because resetting calls costs a caller nothing; 0: never.");
ABSL_FLAG(std::int64_t, memory_quota_bytes, rpc::ConnectionLimits().memory_quota_bytes,
          "Memory that gRPC may use for calls and incomplete messages; above it, gRPC ends "
          "streams; at least max_receive_message_size; 0: no limit.");
ABSL_FLAG(bool, request_compression, rpc::ConnectionLimits().request_compression,
          "Accept compressed requests. Off by default: a megabyte can expand to a gigabyte before "
          "it is rejected.");
ABSL_FLAG(int, max_concurrent_streams, rpc::ConnectionLimits().max_concurrent_streams,
          "Concurrent calls on one connection; further calls wait in the client, and a client that "
          "does not wait is disconnected.");
ABSL_FLAG(int, max_receive_message_size, rpc::ConnectionLimits().max_receive_message_size,
          "Largest message that is received, in bytes; at most memory_quota_bytes.");
ABSL_FLAG(int, max_send_message_size, rpc::ConnectionLimits().max_send_message_size,
          "Largest message that is sent, in bytes.");

namespace config {
namespace {

// "--max_connections".
template <typename Value>
std::string NameOf(const absl::Flag<Value>& flag) {
  return absl::StrCat("--", absl::GetFlagReflectionHandle(flag).Name());
}

// Reads flags and remembers the first fault.
class Reader {
 public:
  // `least`: above 0 where gRPC would be told "never", which nobody expects of a timeout of 0. gRPC holds
  // these as an int of milliseconds.
  std::chrono::milliseconds Milliseconds(const absl::Flag<absl::Duration>& flag,
                                         absl::Duration least = absl::ZeroDuration()) {
    const absl::Duration value = absl::GetFlag(flag);
    if (value < least || value > absl::Hours(24 * 7)) {
      Fail(absl::StrCat(NameOf(flag), " must be from ", absl::FormatDuration(least),
                        " to a week, is ", absl::FormatDuration(value)));
    }
    // It would become 0, which mostly means: without limit.
    if (value > absl::ZeroDuration() && value < absl::Milliseconds(1)) {
      Fail(absl::StrCat(NameOf(flag), " must be at least 1ms, or 0, is ",
                        absl::FormatDuration(value)));
    }
    return absl::ToChronoMilliseconds(value);
  }

  template <typename Number>
  Number NotNegative(const absl::Flag<Number>& flag) {
    const Number value = absl::GetFlag(flag);
    if (value < 0) Fail(absl::StrCat(NameOf(flag), " must be 0 or more, is ", value));
    return value;
  }

  int Positive(const absl::Flag<int>& flag) {
    const int value = absl::GetFlag(flag);
    if (value < 1) Fail(absl::StrCat(NameOf(flag), " must be at least 1, is ", value));
    return value;
  }

  void Fail(absl::string_view what) { fault_.Update(absl::InvalidArgumentError(what)); }

  const absl::Status& fault() const { return fault_; }

 private:
  absl::Status fault_;
};

}  // namespace

absl::StatusOr<rpc::ConnectionLimits> LimitsFromFlags() {
  Reader read;
  rpc::ConnectionLimits limits;
  limits.max_connection_age = read.Milliseconds(FLAGS_max_connection_age);
  limits.max_connection_age_grace = read.Milliseconds(FLAGS_max_connection_age_grace);
  limits.handshake_timeout = read.Milliseconds(FLAGS_handshake_timeout, absl::Milliseconds(1));
  limits.silent_connection_timeout =
      read.Milliseconds(FLAGS_silent_connection_timeout, absl::Seconds(1));
  limits.max_connections = read.NotNegative(FLAGS_max_connections);
  limits.reserved_descriptors = read.NotNegative(FLAGS_reserved_descriptors);
  limits.max_calls_in_flight = read.NotNegative(FLAGS_max_calls_in_flight);
  limits.max_deadline = read.Milliseconds(FLAGS_max_deadline);
  limits.default_deadline = read.Milliseconds(FLAGS_default_deadline);
  if (limits.max_deadline.count() > 0 && limits.default_deadline > limits.max_deadline) {
    read.Fail("--default_deadline must not be longer than --max_deadline");
  }
  limits.max_sync_threads = read.Positive(FLAGS_max_sync_threads);
  limits.max_resets_per_second = read.NotNegative(FLAGS_max_resets_per_second);
  limits.memory_quota_bytes = read.NotNegative(FLAGS_memory_quota_bytes);
  limits.request_compression = absl::GetFlag(FLAGS_request_compression);
  limits.max_connection_idle = read.Milliseconds(FLAGS_max_connection_idle);
  limits.keepalive_time = read.Milliseconds(FLAGS_keepalive_time);
  limits.keepalive_timeout = read.Milliseconds(FLAGS_keepalive_timeout, absl::Milliseconds(1));
  limits.min_ping_interval_without_data = read.Milliseconds(FLAGS_min_ping_interval_without_data);
  limits.max_concurrent_streams = read.Positive(FLAGS_max_concurrent_streams);
  limits.max_receive_message_size = read.Positive(FLAGS_max_receive_message_size);
  // gRPC would end the stream of such a message while it arrives. What is sent is not in the quota.
  if (limits.memory_quota_bytes > 0 &&
      limits.max_receive_message_size > limits.memory_quota_bytes) {
    read.Fail(absl::StrCat("--max_receive_message_size=", limits.max_receive_message_size,
                           " is above --memory_quota_bytes=", limits.memory_quota_bytes,
                           ": such a message would never arrive"));
  }
  limits.max_send_message_size = read.Positive(FLAGS_max_send_message_size);
  if (!read.fault().ok()) return read.fault();
  return limits;
}

}  // namespace config
