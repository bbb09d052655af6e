#include "service/config/platform_grace.h"

#include <map>
#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace config {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Environment = std::map<std::string, std::string>;

absl::StatusOr<std::optional<PlatformGrace>> From(
    const Environment& environment, std::optional<absl::Duration> flag = std::nullopt) {
  return PlatformGraceFrom(flag, [&](const char* variable) -> const char* {
    const auto found = environment.find(variable);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

absl::Duration Systemd(const std::string& value) {
  const auto platform = From({{"TIMEOUT_STOP_USEC", value}});
  return platform.ok() && *platform ? (*platform)->duration : -absl::InfiniteDuration();
}

TEST(PlatformGrace, IsUnknownWhenNothingSetsIt) {
  EXPECT_FALSE(From({})->has_value());
  EXPECT_FALSE(From({{"TIMEOUT_STOP_USEC", ""}})->has_value());
  EXPECT_FALSE(From({{"TERMINATION_GRACE_PERIOD_SECONDS", ""}})->has_value());
}

TEST(PlatformGrace, PrefersTheFlagToAnyVariable) {
  const auto platform = From({{"TIMEOUT_STOP_USEC", "90s"}}, absl::Seconds(20));
  EXPECT_EQ((*platform)->duration, absl::Seconds(20));
  EXPECT_EQ((*platform)->source, "--platform_grace");
}

TEST(PlatformGrace, ReadsWhatSystemctlPrints) {
  EXPECT_EQ(Systemd("1min 30s"), absl::Seconds(90));
  EXPECT_EQ(Systemd("45s"), absl::Seconds(45));
  EXPECT_EQ(Systemd("1h 500ms"), absl::Hours(1) + absl::Milliseconds(500));
  EXPECT_EQ(Systemd("1.500s"), absl::Milliseconds(1500));
  EXPECT_EQ(Systemd("2w 1d"), absl::Hours(15 * 24));
  EXPECT_EQ(Systemd("30000000"), absl::Seconds(30));
  EXPECT_EQ(Systemd("infinity"), absl::InfiniteDuration());
  EXPECT_EQ(Systemd("18446744073709551615"), absl::InfiniteDuration());
}

TEST(PlatformGrace, ReadsTheSecondsOfKubernetes) {
  const auto platform = From({{"TERMINATION_GRACE_PERIOD_SECONDS", "30"}});
  EXPECT_EQ((*platform)->duration, absl::Seconds(30));
  EXPECT_EQ((*platform)->source, "TERMINATION_GRACE_PERIOD_SECONDS");
}

TEST(PlatformGrace, NamesAMalformedDuration) {
  for (const char* value : {"soon", "30 bananas", "s", "1min  30s", "-5s", "1..5s", "30s ",
                            "1000000000000000h bananas", "1 infinity"}) {
    EXPECT_THAT(std::string(From({{"TIMEOUT_STOP_USEC", value}}).status().message()),
                AllOf(HasSubstr("TIMEOUT_STOP_USEC"), HasSubstr(value)));
  }
  for (const char* value : {"soon", "30s", "-1", "1.5"}) {
    EXPECT_THAT(std::string(From({{"TERMINATION_GRACE_PERIOD_SECONDS", value}}).status().message()),
                AllOf(HasSubstr("TERMINATION_GRACE_PERIOD_SECONDS"), HasSubstr(value)));
  }
  EXPECT_FALSE(From({}, absl::Seconds(-1)).ok());
}

TEST(PlatformWarning, SaysBothNumbersWhenThePlatformKillsFirst) {
  EXPECT_EQ(PlatformWarning({absl::Seconds(20), "TIMEOUT_STOP_USEC"}, absl::Seconds(30)),
            "the platform sends SIGKILL after 20s (TIMEOUT_STOP_USEC), before a shutdown of 30s "
            "(--termination_grace) can end: the platform must allow at least as much");
}

TEST(PlatformWarning, IsEmptyWhenTheShutdownFits) {
  EXPECT_EQ(PlatformWarning({absl::Seconds(30), ""}, absl::Seconds(30)), "");
  EXPECT_EQ(PlatformWarning({absl::InfiniteDuration(), ""}, absl::Hours(24)), "");
}

}  // namespace
}  // namespace config
