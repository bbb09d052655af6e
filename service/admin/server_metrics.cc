#include "service/admin/server_metrics.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "grpcpp/support/status_code_enum.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_type.h"
#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/phase.h"
#include "service/observability/metrics.h"
#include "service/rpc/calls/access_log.h"
#include "service/rpc/calls/call_stats.h"

namespace admin {
namespace {

using lifecycle::Phase;
using observability::Counter;
using observability::Gauge;
using observability::Sample;
using prometheus::MetricFamily;

std::string StatusName(int status) {
  return status == rpc::CallStats::kNotReported
             ? "NOT_REPORTED"
             : rpc::CodeName(static_cast<grpc::StatusCode>(status));
}

// Without the slash, as A66 has it.
std::string MethodLabel(const std::string& method) {
  return method.substr(!method.empty() && method.front() == '/' ? 1 : 0);
}

prometheus::ClientMetric Histogram(const rpc::CallStats::Row& row) {
  prometheus::ClientMetric metric;
  metric.label = {{"grpc_method", MethodLabel(row.method)},
                  {"grpc_status", StatusName(row.status)}};
  std::uint64_t calls = 0;
  for (std::size_t i = 0; i < row.buckets.size(); ++i) {
    calls += static_cast<std::uint64_t>(row.buckets[i]);
    const double bound = i < rpc::CallStats::kBounds.size()
                             ? rpc::CallStats::kBounds[i]
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({calls, bound});
  }
  metric.histogram.sample_count = calls;
  metric.histogram.sample_sum = row.seconds;
  return metric;
}

using Sums = std::map<std::string, std::int64_t>;

std::vector<Sample> ByMethod(const Sums& sums) {
  std::vector<Sample> samples;
  for (const auto& [method, sum] : sums) {
    samples.push_back({static_cast<double>(sum), {{"grpc_method", method}}});
  }
  return samples;
}

std::vector<Sample> PhaseSamples(Phase now) {
  std::vector<Sample> samples;
  for (int i = 0; i <= static_cast<int>(Phase::kStopped); ++i) {
    const Phase phase = static_cast<Phase>(i);
    samples.push_back({phase == now ? 1.0 : 0.0, {{"phase", lifecycle::PhaseName(phase)}}});
  }
  return samples;
}

}  // namespace

std::vector<MetricFamily> ReadLifecycleMetrics(const lifecycle::Process& process,
                                               const observability::ProcessLog& log) {
  const lifecycle::ProcessStatus status = process.Look();
  std::vector<MetricFamily> families = {
      Gauge("server_phase", "The phase that the process is in has 1, the others 0.",
            PhaseSamples(status.phase)),
      Gauge("server_drained", "1: a manual drain is complete.", {{status.drained ? 1.0 : 0.0}}),
      Gauge("server_connections", "Open connections.",
            {{static_cast<double>(status.load.connections)}}),
      Gauge("server_calls_in_flight", "Running calls, streams included.",
            {{static_cast<double>(status.load.calls)}}),
      Gauge("server_streams", "Running streams.", {{static_cast<double>(status.load.streams)}}),
      Gauge("server_hinted_calls", "Calls since the lame duck that were told to go elsewhere.",
            {{static_cast<double>(status.load.hinted)}}),
      Counter("log_lost_lines_total", "Lines of the log that were dropped: nobody read it.",
              {{static_cast<double>(log.lines_dropped())}}),
  };
  if (status.time_left) {
    families.push_back(Gauge("server_phase_left_seconds", "Until the phase ends at the latest.",
                             {{std::chrono::duration<double>(*status.time_left).count()}}));
  }
  // Nothing keeps two of them from having one name: the longest counts, a series may come once.
  std::map<std::pair<std::string, std::string>, std::uint32_t> took_ms;
  const report::v1::ShutdownReport report = log.ReportSoFar();
  for (const auto* some : {&report.savers(), &report.closers()}) {
    for (const report::v1::Closer& each : *some) {
      std::uint32_t& longest = took_ms[{each.name(), each.result()}];
      longest = std::max(longest, each.took_ms());
    }
  }
  std::vector<Sample> closers;
  for (const auto& [labels, ms] : took_ms) {
    closers.push_back(
        {static_cast<double>(ms) * 1e-3, {{"closer", labels.first}, {"result", labels.second}}});
  }
  if (!closers.empty()) {
    families.push_back(Gauge("server_closer_duration_seconds",
                             "How long saving or closing it has taken, in the shutdown.", closers));
  }
  return families;
}

rpc::ServerHost::Refusals Refused(const Servers& servers) {
  rpc::ServerHost::Refusals sum;
  for (const rpc::ServerHost* const server : servers) {
    const rpc::ServerHost::Refusals refused = server->Refused();
    sum.connections += refused.connections;
    sum.ended_connections += refused.ended_connections;
    sum.calls += refused.calls;
    sum.overdue_calls += refused.overdue_calls;
    sum.undecodable += refused.undecodable;
    sum.failed_handlers += refused.failed_handlers;
  }
  return sum;
}

std::vector<MetricFamily> ReadServerMetrics(const Servers& servers) {
  if (servers.empty()) return {};
  Sums started, running;
  std::map<std::pair<std::string, int>, rpc::CallStats::Row> ended;
  for (const rpc::ServerHost* const server : servers) {
    const rpc::CallStats::Snapshot stats = server->Stats();
    for (const rpc::CallStats::Started& each : stats.started) {
      started[MethodLabel(each.method)] += each.calls;
    }
    for (const rpc::CallStats::Row& each : stats.ended) {
      rpc::CallStats::Row& row = ended[{each.method, each.status}];
      row.method = each.method;
      row.status = each.status;
      row.seconds += each.seconds;
      for (std::size_t i = 0; i < row.buckets.size(); ++i) row.buckets[i] += each.buckets[i];
    }
    for (const lifecycle::CallTally::Method& each : server->TryTally().methods) {
      if (each.left > 0) running[each.name.empty() ? "other" : MethodLabel(each.name)] += each.left;
    }
  }
  MetricFamily durations{"grpc_server_call_duration_seconds",
                         "How long calls took, from their first byte to the end of their handler.",
                         prometheus::MetricType::Histogram,
                         {}};
  for (const auto& [key, row] : ended) durations.metric.push_back(Histogram(row));
  const rpc::ServerHost::Refusals refused = Refused(servers);
  const auto count = [](std::int64_t value, const char* limit) {
    return Sample{static_cast<double>(value), {{"reason", limit}}};
  };
  std::vector<MetricFamily> families = {
      Counter("server_refused_total", "What was refused or ended at a limit.",
              {count(refused.connections, "connections"),
               count(refused.ended_connections, "abusive_connection"),
               count(refused.calls, "calls_in_flight"), count(refused.overdue_calls, "deadline")}),
      Counter("server_failed_handlers_total", "Handlers that failed.",
              {{static_cast<double>(refused.failed_handlers)}}),
      Counter("server_undecodable_requests_total", "Requests that could not be parsed.",
              {{static_cast<double>(refused.undecodable)}}),
  };
  if (!started.empty()) {
    families.push_back(
        Counter("grpc_server_call_started_total", "Calls that have begun.", ByMethod(started)));
  }
  if (!durations.metric.empty()) families.push_back(std::move(durations));
  if (!running.empty()) {
    families.push_back(
        Gauge("grpc_server_calls_in_flight", "Running calls, by method.", ByMethod(running)));
  }
  return families;
}

}  // namespace admin
