#include "service/config/limit_flags.h"

#include <chrono>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "gtest/gtest.h"

namespace config {
namespace {

using rpc::ConnectionLimits;
using std::chrono::milliseconds;

using Flags = std::initializer_list<std::pair<const char*, const char*>>;

absl::StatusOr<ConnectionLimits> With(Flags flags) {
  const absl::FlagSaver as_before;
  for (const auto& [name, value] : flags) {
    std::string error;
    EXPECT_TRUE(absl::FindCommandLineFlag(name)->ParseFrom(value, &error)) << name << error;
  }
  return LimitsFromFlags();
}

std::string Said(Flags flags) { return std::string(With(flags).status().message()); }

TEST(LimitFlags, EachSetsItsOwnLimit) {
  const auto time = [](const char* flag, milliseconds ConnectionLimits::*limit) {
    const auto limits = With({{flag, "17ms"}});
    EXPECT_TRUE(limits.ok() && (*limits).*limit == milliseconds(17)) << flag;
  };
  time("max_connection_age", &ConnectionLimits::max_connection_age);
  time("max_connection_age_grace", &ConnectionLimits::max_connection_age_grace);
  time("max_connection_idle", &ConnectionLimits::max_connection_idle);
  time("handshake_timeout", &ConnectionLimits::handshake_timeout);
  time("keepalive_time", &ConnectionLimits::keepalive_time);
  time("keepalive_timeout", &ConnectionLimits::keepalive_timeout);
  time("min_ping_interval_without_data", &ConnectionLimits::min_ping_interval_without_data);
  time("max_deadline", &ConnectionLimits::max_deadline);
  time("default_deadline", &ConnectionLimits::default_deadline);
  const auto number = [](const char* flag, int ConnectionLimits::*limit) {
    const auto limits = With({{flag, "17"}});
    EXPECT_TRUE(limits.ok() && (*limits).*limit == 17) << flag;
  };
  number("max_concurrent_streams", &ConnectionLimits::max_concurrent_streams);
  number("max_calls_in_flight", &ConnectionLimits::max_calls_in_flight);
  number("max_resets_per_second", &ConnectionLimits::max_resets_per_second);
  number("max_connections", &ConnectionLimits::max_connections);
  number("reserved_descriptors", &ConnectionLimits::reserved_descriptors);
  number("max_sync_threads", &ConnectionLimits::max_sync_threads);
  number("max_receive_message_size", &ConnectionLimits::max_receive_message_size);
  number("max_send_message_size", &ConnectionLimits::max_send_message_size);
  EXPECT_EQ(With({{"memory_quota_bytes", "5000000"}})->memory_quota_bytes, 5000000);
  EXPECT_TRUE(With({{"request_compression", "true"}})->request_compression);
}

TEST(LimitFlags, TimesAreFromAMillisecondToAWeekOr0) {
  for (const char* time : {"0", "1ms", "168h"}) {
    EXPECT_TRUE(With({{"max_connection_age", time}}).ok()) << time;
  }
  for (const char* time : {"-1ms", "inf", "168h1ms"}) {
    EXPECT_EQ(Said({{"max_connection_age", time}}).rfind("--max_connection_age must be from 0 ", 0),
              0U)
        << time;
  }
  EXPECT_EQ(Said({{"max_connection_age", "999us"}}),
            "--max_connection_age must be at least 1ms, or 0, is 999us");
}

TEST(LimitFlags, TimeoutsAreNot0) {
  for (const char* flag : {"handshake_timeout", "keepalive_timeout"}) {
    EXPECT_EQ(Said({{flag, "0"}}), std::string("--") + flag + " must be from 1ms to a week, is 0");
  }
}

TEST(LimitFlags, NumbersHaveALeast) {
  for (const char* flag : {"max_connections", "reserved_descriptors", "max_calls_in_flight",
                           "max_resets_per_second", "memory_quota_bytes"}) {
    EXPECT_TRUE(With({{flag, "0"}}).ok()) << flag;
    EXPECT_EQ(Said({{flag, "-1"}}), std::string("--") + flag + " must be 0 or more, is -1");
  }
  for (const char* flag : {"max_concurrent_streams", "max_sync_threads", "max_receive_message_size",
                           "max_send_message_size"}) {
    EXPECT_EQ(Said({{flag, "0"}}), std::string("--") + flag + " must be at least 1, is 0");
  }
}

TEST(LimitFlags, DoNotContradictEachOther) {
  EXPECT_EQ(Said({{"max_deadline", "1s"}, {"default_deadline", "2s"}}),
            "--default_deadline must not be longer than --max_deadline");
  EXPECT_TRUE(With({{"max_deadline", "0"}, {"default_deadline", "2s"}}).ok());
  EXPECT_EQ(Said({{"max_receive_message_size", "1001"}, {"memory_quota_bytes", "1000"}}),
            "--max_receive_message_size=1001 is above --memory_quota_bytes=1000: such a message "
            "would never arrive");
  EXPECT_TRUE(With({{"max_receive_message_size", "1000"}, {"memory_quota_bytes", "1000"}}).ok());
}

TEST(LimitFlags, TheFirstFaultIsSaid) {
  EXPECT_EQ(Said({{"max_deadline", "-1s"}, {"max_sync_threads", "0"}}),
            "--max_deadline must be from 0 to a week, is -1s");
}

}  // namespace
}  // namespace config
