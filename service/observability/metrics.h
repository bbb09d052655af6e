#ifndef SERVICE_OBSERVABILITY_METRICS_H_
#define SERVICE_OBSERVABILITY_METRICS_H_

#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "prometheus/metric_family.h"
#include "prometheus/registry.h"

namespace observability {

using Labels = std::vector<std::pair<std::string, std::string>>;

// One value of a metric, or several that differ in their labels.
struct Sample {
  double value = 0;
  Labels labels{};
};

// A value that may go up and down.
prometheus::MetricFamily Gauge(const std::string& name, const std::string& help,
                               const std::vector<Sample>& samples);
// A count since the start of the process; its name ends in "_total".
prometheus::MetricFamily Counter(const std::string& name, const std::string& help,
                                 const std::vector<Sample>& samples);

// The metrics of a process, for Prometheus: values that are counted elsewhere and read for each
// scrape, and the counters and histograms of your own code.
//
// Threads: any.
class Metrics {
 public:
  // Reads values. Must not block for long, because the scraper waits.
  using Source = std::function<std::vector<prometheus::MetricFamily>()>;

  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Requires: what `source` uses lives as long as Render() may be called.
  void Add(Source source);

  // For your own metrics: prometheus::BuildCounter().Name(...).Register(registry()).
  prometheus::Registry& registry() { return registry_; }

  // All metrics in Prometheus's text format. Requires: no two sources have a metric of one name.
  std::string Render() const;

 private:
  prometheus::Registry registry_;
  mutable std::mutex mutex_;
  std::vector<Source> sources_;  // Guarded by mutex_.
};

// The process_* metrics of every Prometheus client library: CPU time, memory, file descriptors,
// start time. What cannot be read, for want of a descriptor, is left out.
std::vector<prometheus::MetricFamily> ReadProcessMetrics();

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_METRICS_H_
