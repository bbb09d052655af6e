#include "service/config/connection_age.h"

#include "gtest/gtest.h"

namespace config {
namespace {

TEST(ConnectionAge, FitsWhatAStopHasForConnections) {
  EXPECT_EQ(ConnectionAgeFor(absl::Seconds(12)), absl::Milliseconds(9600));
  EXPECT_EQ(ConnectionAgeWarning(ConnectionAgeFor(absl::Seconds(12)), absl::Seconds(12)), "");
  EXPECT_EQ(ConnectionAgeFor(absl::ZeroDuration()), absl::ZeroDuration());
  EXPECT_EQ(ConnectionAgeWarning(absl::ZeroDuration(), absl::ZeroDuration()), "");
}

TEST(ConnectionAge, IsASecondAtLeastAndThenWarnedOf) {
  EXPECT_EQ(ConnectionAgeFor(absl::Milliseconds(100)), absl::Seconds(1));
  EXPECT_NE(ConnectionAgeWarning(absl::Seconds(1), absl::Milliseconds(100)), "");
}

TEST(ConnectionAgeWarning, SaysTheNumbersWhenTheAgeAndItsJitterDoNotFit) {
  EXPECT_EQ(ConnectionAgeWarning(absl::Seconds(12), absl::Seconds(12)),
            "a connection is asked to leave when it is up to 13.2s old (--connection_age=12s and a "
            "tenth), but a stop waits 12s for connections to leave (--stop_connections): callers "
            "who look at no health may lose calls; raise the one or lower the other");
  EXPECT_NE(ConnectionAgeWarning(absl::Seconds(1), absl::ZeroDuration()), "");
}

TEST(ConnectionAgeWarning, IsSilentWhenItFitsOrNoConnectionAges) {
  EXPECT_EQ(ConnectionAgeWarning(absl::Seconds(10), absl::Seconds(11)), "");
  EXPECT_EQ(ConnectionAgeWarning(absl::ZeroDuration(), absl::Seconds(12)), "");
}

}  // namespace
}  // namespace config
