#include "service/observability/utc_time.h"

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace observability {
namespace {

using std::chrono::system_clock;

system_clock::time_point At(std::chrono::nanoseconds since_1970) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(since_1970));
}

TEST(UtcTime, HasAsManyDigitsAsAskedFor) {
  const system_clock::time_point time = At(std::chrono::nanoseconds(1769860801'250'006'900));
  EXPECT_EQ(UtcTime(time, 3), "2026-01-31T12:00:01.250Z");
  EXPECT_EQ(UtcTime(time, 6), "2026-01-31T12:00:01.250006Z");
  EXPECT_EQ(UtcTime(time + std::chrono::seconds(1), 3), "2026-01-31T12:00:02.250Z");
}

TEST(UtcTime, FillsTheFractionWithZeros) {
  EXPECT_EQ(UtcTime(At(std::chrono::nanoseconds(0)), 3), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(UtcTime(At(std::chrono::milliseconds(7)), 3), "1970-01-01T00:00:00.007Z");
}

TEST(UtcTime, IsWhatAbseilFormatsBefore1970AsWell) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::int64_t> nanoseconds(-2'000'000'000'000'000'000,
                                                          4'000'000'000'000'000'000);
  for (int i = 0; i < 10'000; ++i) {
    const system_clock::time_point time = At(std::chrono::nanoseconds(nanoseconds(random)));
    EXPECT_EQ(UtcTime(time, 6), absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(time),
                                                 absl::UTCTimeZone()));
  }
}

// exit() first destroys what the calling thread has of its own, then tells that the process ends.
TEST(UtcTime, IsKnownToTheEndOfItsThread) {
  const system_clock::time_point time = At(std::chrono::nanoseconds(1769860801'250'006'900));
  std::string last;
  std::thread([&] {
    struct AtTheEnd {
      ~AtTheEnd() { last = UtcTime(time, 3); }
      std::string& last;
      const system_clock::time_point time;
    };
    // Made before anything is formatted on this thread, it is destroyed after what that left.
    static thread_local AtTheEnd at_the_end{last, time};
    EXPECT_EQ(UtcTime(at_the_end.time, 3), "2026-01-31T12:00:01.250Z");
  }).join();
  EXPECT_EQ(last, "2026-01-31T12:00:01.250Z");
}

}  // namespace
}  // namespace observability
