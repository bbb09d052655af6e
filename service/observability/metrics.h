#ifndef SERVICE_OBSERVABILITY_METRICS_H_
#define SERVICE_OBSERVABILITY_METRICS_H_

#include <functional>
#include <memory>
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

// A value that goes up and down.
prometheus::MetricFamily Gauge(const std::string& name, const std::string& help,
                               const std::vector<Sample>& samples);
// A count since the start of the process; its name ends in "_total".
prometheus::MetricFamily Counter(const std::string& name, const std::string& help,
                                 const std::vector<Sample>& samples);

// What a process tells Prometheus: values that somebody counts anyway, read when they are asked
// for, and the counters and histograms of your own code.
//
// Threads: any.
class Metrics {
 public:
  // Reads values. Must not block for long: whoever scrapes waits.
  using Source = std::function<std::vector<prometheus::MetricFamily>()>;

  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // What `source` uses lives as long as this is rendered.
  void Add(Source source);

  // For instruments of your own: prometheus::BuildCounter().Name(...).Register(registry()).
  prometheus::Registry& registry() { return registry_; }

  // All of it, in Prometheus's text format. A metric of one name comes from one source.
  std::string Render() const;

 private:
  prometheus::Registry registry_;
  mutable std::mutex mutex_;
  std::vector<Source> sources_;  // Guarded by mutex_.
};

// Of the process, as every client library of Prometheus has them: processor time, memory,
// descriptors, when it was started.
std::vector<prometheus::MetricFamily> ReadProcessMetrics();

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_METRICS_H_
