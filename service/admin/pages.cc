#include "service/admin/pages.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "service/admin/build_info.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/run_or_catch.h"
#include "service/lifecycle/last_resort/utf8.h"
#include "service/rpc/calls/call_stats.h"
#include "service/rpc/calls/limit_log.h"

namespace admin {
namespace {

const lifecycle::Clock::TimePoint kStarted = lifecycle::Clock::Steady().Now();

std::chrono::seconds Uptime() {
  return std::chrono::duration_cast<std::chrono::seconds>(lifecycle::Clock::Steady().Now() -
                                                          kStarted);
}

std::vector<ServerStatus::Method> Methods(const Servers& servers) {
  struct Sum {
    ServerStatus::Method method;
    double seconds = 0;
  };
  std::map<std::string, Sum> sums;
  for (const rpc::ServerHost* const server : servers) {
    for (const rpc::CallStats::Row& row : server->Stats().ended) {
      Sum& sum = sums[row.method];
      sum.seconds += row.seconds;
      for (std::size_t i = 0; i < row.buckets.size(); ++i) {
        if (row.buckets[i] == 0) continue;
        sum.method.ended += row.buckets[i];
        if (row.status > 0) sum.method.failed += row.buckets[i];
        const double bound = i < rpc::CallStats::kBounds.size()
                                 ? rpc::CallStats::kBounds[i] * 1e3
                                 : std::numeric_limits<double>::infinity();
        sum.method.slowest_ms = std::max(sum.method.slowest_ms, bound);
      }
    }
    for (const lifecycle::CallTally::Method& each : server->TryTally().methods) {
      sums[each.name.empty() ? "other" : each.name].method.running += each.left;
    }
  }
  std::vector<ServerStatus::Method> methods;
  for (auto& [name, sum] : sums) {
    sum.method.name = name;
    if (sum.method.ended > 0) {
      sum.method.mean_ms = sum.seconds * 1e3 / static_cast<double>(sum.method.ended);
    }
    methods.push_back(sum.method);
  }
  return methods;
}

std::vector<ServerStatus::Limit> Limits(const Servers& servers) {
  const rpc::ServerHost::Refusals refused = Refused(servers);
  return {{"connections refused (--max_connections, descriptors)", refused.connections},
          {"connections ended for too many streams or resets", refused.ended_connections},
          {"calls refused (--max_calls_in_flight)", refused.calls},
          {"calls ended (--max_deadline, --default_deadline)", refused.overdue_calls},
          {"requests that could not be parsed", refused.undecodable},
          {"handlers that failed", refused.failed_handlers}};
}

// How the names begin of ReadServerMetrics(), ReadLifecycleMetrics(), ReadProcessMetrics() and of
// Show(tls). Many of them come only with a call, or in the shutdown.
constexpr const char* kOwnPrefixes[] = {"server_", "grpc_server_", "process_", "log_", "tls_"};

// https://prometheus.io/docs/concepts/data_model/
bool IsMetricName(const std::string& name) {
  const auto may_begin = [](char c) { return absl::ascii_isalpha(c) || c == '_' || c == ':'; };
  const auto fits = [&](char c) { return may_begin(c) || absl::ascii_isdigit(c); };
  return !name.empty() && may_begin(name[0]) && std::all_of(name.begin(), name.end(), fits);
}

}  // namespace

void Pages::AddTo(HttpServer& http) {
  const auto status = [this](const HttpRequest&) {
    return HttpResponse{200, RenderStatusPage(Status()), "text/html; charset=utf-8"};
  };
  http.Add(
      "/livez", [this](const HttpRequest&) { return Livez(); }, HttpServer::Kind::kNeverBlocks);
  http.Add(
      "/readyz", [this](const HttpRequest&) { return Readiness(process_.phase()); },
      HttpServer::Kind::kNeverBlocks);
  http.Add("/readyz?verbose",
           [this](const HttpRequest&) { return ReadinessInDetail(process_.phase(), checks()); });
  http.Add("/metrics", [this](const HttpRequest&) {
    return HttpResponse{200, metrics_.Render(), "text/plain; version=0.0.4; charset=utf-8"};
  });
  http.Add("/statusz", status);
  http.Add("/", status);
  metrics_.Add(observability::ReadProcessMetrics);
  metrics_.Add([this] { return ReadServerMetrics(servers()); });
}

void Pages::Show(const observability::ProcessLog& log, Flags flags) {
  metrics_.Add([this, &log] { return ReadLifecycleMetrics(process_, log); });
  std::lock_guard lock(mutex_);
  log_ = &log;
  flags_ = std::move(flags);
}

void Pages::Show(const rpc::ServerHost& server) {
  std::lock_guard lock(mutex_);
  servers_.push_back(&server);
}

void Pages::Show(std::shared_ptr<const rpc::TlsFiles> tls) {
  if (tls == nullptr || tls->expires() == 0) return;
  AddNamed("tls_certificate_expiry_timestamp_seconds",
           "When the certificate in use expires, since 1970.",
           [tls] { return static_cast<double>(tls->expires()); });
  AddNamed("tls_certificate_renewal_timestamp_seconds",
           "When the certificate in use should have been renewed, since 1970.",
           [tls] { return static_cast<double>(tls->renew_by()); });
}

void Pages::AddGauge(std::string name, std::string help, std::function<double()> read) {
  const std::string refusal =
      absl::StrCat("a metric may not be called \"", absl::CHexEscape(name), "\": ");
  lifecycle::Require(IsMetricName(name), absl::StrCat(refusal, "use letters, digits and _"));
  for (const char* prefix : kOwnPrefixes) {
    lifecycle::Require(!absl::StartsWith(name, prefix),
                       absl::StrCat(refusal, "the server's own begin with ", prefix));
  }
  lifecycle::Require(help.find('\n') == std::string::npos && lifecycle::ValidUtf8(help) == help,
                     absl::StrCat("the help of the metric ", name, " is not one line of UTF-8"));
  AddNamed(std::move(name), std::move(help), std::move(read));
}

void Pages::AddNamed(std::string name, std::string help, std::function<double()> read) {
  bool added = false;
  {
    std::lock_guard lock(mutex_);
    added = gauges_.insert(name).second;
  }
  lifecycle::Require(added, absl::StrCat("there is a metric called ", name, " already"));
  const auto failures = std::make_shared<rpc::LimitLog>(
      "left a gauge out of /metrics", [this](const std::string& line) { Warn(line); });
  metrics_.Add([failures, name = std::move(name), help = std::move(help),
                read = std::move(read)]() -> std::vector<prometheus::MetricFamily> {
    double value = 0;
    const absl::Status was_read = lifecycle::RunOrCatch([&] {
      value = read();
      return absl::OkStatus();
    });
    if (was_read.ok()) return {observability::Gauge(name, help, {{value}})};
    failures->Count(absl::StrCat(name, ": ", absl::CHexEscape(std::string(was_read.message()))));
    return {};
  });
}

void Pages::Warn(const std::string& line) const {
  const observability::ProcessLog* log = nullptr;
  {
    std::lock_guard lock(mutex_);
    log = log_;
  }
  if (log != nullptr) return log->Warner()(line);
  lifecycle::WriteLastWords({"warning: ", line});
}

void Pages::Add(ReadinessCheck check) {
  std::lock_guard lock(mutex_);
  checks_.push_back(std::move(check));
}

std::vector<ReadinessCheck> Pages::checks() const {
  std::lock_guard lock(mutex_);
  return checks_;
}

Servers Pages::servers() const {
  std::lock_guard lock(mutex_);
  return servers_;
}

HttpResponse Pages::Livez() const {
  if (process_.Alive()) return {200, "alive\n"};
  return {503, "all of gRPC's threads are blocked: while calls are running, or for a minute\n"};
}

ServerStatus Pages::Status() const {
  ServerStatus status;
  status.build = BuildInfo();
  status.uptime = Uptime();
  status.started_at = absl::FormatTime(
      "%Y-%m-%d %H:%M:%S UTC", absl::Now() - absl::FromChrono(status.uptime), absl::UTCTimeZone());
  status.process = process_.Look();
  status.held_by = process_.InFlight();
  for (const ReadinessCheck& each : checks()) {
    status.checks.push_back({each.name, lifecycle::RunOrCatch(each.check)});
  }
  std::lock_guard lock(mutex_);
  status.flags = flags_;
  if (log_ != nullptr) status.report = log_->ReportSoFar();
  status.program = log_ == nullptr ? "server" : status.report.program();
  if (!servers_.empty()) {
    status.methods = Methods(servers_);
    status.limits = Limits(servers_);
  }
  return status;
}

}  // namespace admin
