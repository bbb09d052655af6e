#include "service/observability/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

#include "prometheus/counter.h"

namespace observability {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, AreReadWhenTheyAreAskedFor) {
  Metrics metrics;
  double depth = 1;
  metrics.Add([&depth] {
    return std::vector<prometheus::MetricFamily>{
        Gauge("depth", "How deep.",
              {{depth, {{"side", "left"}}}, {depth + 1, {{"side", "right"}}}}),
        Counter("dives_total", "How often.", {{7}})};
  });
  depth = 40;
  EXPECT_THAT(metrics.Render(),
              AllOf(HasSubstr("# HELP depth How deep.\n# TYPE depth gauge\n"),
                    HasSubstr("depth{side=\"left\"} 40\n"), HasSubstr("depth{side=\"right\"} 41\n"),
                    HasSubstr("# TYPE dives_total counter\ndives_total 7\n")));
}

TEST(MetricsTest, HaveYourOwnInstruments) {
  Metrics metrics;
  prometheus::BuildCounter()
      .Name("sold_total")
      .Help("Things sold.")
      .Register(metrics.registry())
      .Add({{"kind", "apple"}})
      .Increment(3);
  EXPECT_THAT(metrics.Render(), HasSubstr("sold_total{kind=\"apple\"} 3\n"));
}

TEST(MetricsTest, EscapeWhatALabelMayContain) {
  Metrics metrics;
  metrics.Add([] {
    return std::vector<prometheus::MetricFamily>{
        Gauge("depth", "How deep.", {{1, {{"side", "a\"b\\c\nforged 1"}}}})};
  });
  EXPECT_THAT(metrics.Render(),
              AllOf(HasSubstr("side=\"a\\\"b\\\\c\\nforged 1\""), Not(HasSubstr("\nforged"))));
}

// "process_open_fds 12" -> 12; -1: it is not there.
double ValueOf(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

TEST(ProcessMetricsTest, AreThoseOfThisProcess) {
  Metrics metrics;
  metrics.Add(ReadProcessMetrics);
  const std::string text = metrics.Render();
  EXPECT_GT(ValueOf(text, "process_resident_memory_bytes"), 100'000);
  EXPECT_GE(ValueOf(text, "process_open_fds"), 3);
  EXPECT_GT(ValueOf(text, "process_max_fds"), ValueOf(text, "process_open_fds"));
  EXPECT_GE(ValueOf(text, "process_cpu_seconds_total"), 0);
  EXPECT_GT(ValueOf(text, "process_start_time_seconds"), 1.5e9);
}

TEST(ProcessMetricsTest, HaveNoValueThatCannotBeRead) {
  Metrics metrics;
  metrics.Add(ReadProcessMetrics);
  const double started = ValueOf(metrics.Render(), "process_start_time_seconds");
  rlimit usual{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit none{2, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::string text = metrics.Render();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_EQ(ValueOf(text, "process_open_fds"), 2) << "all that there may be";
  EXPECT_EQ(ValueOf(text, "process_resident_memory_bytes"), -1);
  EXPECT_EQ(ValueOf(text, "process_start_time_seconds"), started) << "it is read once";
  EXPECT_EQ(ValueOf(text, "process_max_fds"), 2);
}

}  // namespace
}  // namespace observability
