#include "service/observability/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "prometheus/text_serializer.h"

namespace observability {
namespace {

prometheus::MetricFamily Family(const std::string& name, const std::string& help,
                                prometheus::MetricType type, const std::vector<Sample>& samples) {
  prometheus::MetricFamily family{name, help, type, {}};
  for (const Sample& sample : samples) {
    prometheus::ClientMetric metric;
    for (const auto& [label, value] : sample.labels) metric.label.push_back({label, value});
    metric.gauge.value = sample.value;
    metric.counter.value = sample.value;
    family.metric.push_back(std::move(metric));
  }
  return family;
}

// When the process began, by the boot clock, in ticks: the 22nd word of /proc/self/stat, counted
// behind the name, which may have spaces.
double StartTicks() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream words(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string word;
  for (int i = 0; i < 20; ++i) words >> word;
  std::istringstream number(word);
  double ticks = 0;
  number >> ticks;
  return ticks;
}

double BootTime() {
  std::ifstream file("/proc/stat");
  std::string word;
  double seconds = 0;
  while (file >> word) {
    if (word == "btime" && file >> seconds) break;
  }
  return seconds;
}

// Of at most `limit`.
std::optional<double> OpenDescriptors(double limit) {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) {
    if (errno == EMFILE) return limit;  // All are open.
    return std::nullopt;
  }
  double count = -3;  // ".", "..", and the directory itself.
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

// 0: unknown. Read once: the kernel's boot time, in whole seconds, moves with the wall clock, and each
// move would look like a restart.
double StartTime() {
  static std::atomic<double> started{0};
  if (started > 0) return started;
  const double booted = BootTime();
  const double ticks = StartTicks();
  if (booted > 0 && ticks > 0) {
    started = booted + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  return started;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

prometheus::MetricFamily Gauge(const std::string& name, const std::string& help,
                               const std::vector<Sample>& samples) {
  return Family(name, help, prometheus::MetricType::Gauge, samples);
}

prometheus::MetricFamily Counter(const std::string& name, const std::string& help,
                                 const std::vector<Sample>& samples) {
  return Family(name, help, prometheus::MetricType::Counter, samples);
}

void Metrics::Add(Source source) {
  std::lock_guard lock(mutex_);
  sources_.push_back(std::move(source));
}

std::string Metrics::Render() const {
  std::vector<Source> sources;
  {
    std::lock_guard lock(mutex_);
    sources = sources_;
  }
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (const Source& source : sources) {
    std::vector<prometheus::MetricFamily> read = source();
    std::move(read.begin(), read.end(), std::back_inserter(families));
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

std::vector<prometheus::MetricFamily> ReadProcessMetrics() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  std::vector<prometheus::MetricFamily> families = {
      Counter("process_cpu_seconds_total", "Processor time spent, of user and system.",
              {{Seconds(used.ru_utime) + Seconds(used.ru_stime)}}),
      Gauge("process_max_fds", "How many file descriptors may be open.",
            {{static_cast<double>(descriptors.rlim_cur)}}),
  };
  if (const double started = StartTime(); started > 0) {
    families.push_back(Gauge("process_start_time_seconds",
                             "When the process was started, since 1970.", {{started}}));
  }
  std::ifstream memory("/proc/self/statm");
  double virtual_pages = 0;
  double resident_pages = 0;
  if (memory >> virtual_pages >> resident_pages) {
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    families.push_back(Gauge("process_resident_memory_bytes", "Memory that is in use.",
                             {{resident_pages * page}}));
    families.push_back(Gauge("process_virtual_memory_bytes", "Address space that is in use.",
                             {{virtual_pages * page}}));
  }
  if (const std::optional<double> open =
          OpenDescriptors(static_cast<double>(descriptors.rlim_cur))) {
    families.push_back(Gauge("process_open_fds", "Open file descriptors.", {{*open}}));
  }
  return families;
}

}  // namespace observability
