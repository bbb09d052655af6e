#include "service/rpc/calls/call_stats.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "service/rpc/calls/spread.h"

namespace rpc {
namespace {

using lifecycle::Clock;

constexpr std::array<std::int64_t, CallStats::kBounds.size()> InNanoseconds() {
  std::array<std::int64_t, CallStats::kBounds.size()> bounds{};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = static_cast<std::int64_t>(CallStats::kBounds[i] * 1e9 + 0.5);
  }
  return bounds;
}
constexpr auto kNanoseconds = InNanoseconds();

std::size_t BucketOf(std::int64_t nanoseconds) {
  return static_cast<std::size_t>(
      std::lower_bound(kNanoseconds.begin(), kNanoseconds.end(), nanoseconds) -
      kNanoseconds.begin());
}

}  // namespace

CallStats::~CallStats() {
  const auto free_cells = [](Method& method) {
    for (std::atomic<Cell*>& cell : method.ended) delete cell.load();
  };
  for (std::atomic<Method*>& each : methods_) {
    const std::unique_ptr<Method> method(each.load());
    if (method != nullptr) free_cells(*method);
  }
  free_cells(other_);
}

void CallStats::Begin(const char* method) {
  MethodOf(method).started[ThisThread() % kThreads].calls.fetch_add(1, std::memory_order_relaxed);
}

void CallStats::End(const char* method, int status, Clock::Duration took) {
  constexpr int kUnknown = 2;  // What the protocol takes a status for that there is not.
  constexpr int kEnd = kNotReported + static_cast<int>(kStatuses);
  const bool known = kNotReported <= status && status < kEnd;
  const auto index = static_cast<std::size_t>((known ? status : kUnknown) - kNotReported);
  Cell& cell = CellOf(MethodOf(method).ended[index]);
  Durations& mine = cell[ThisThread() % kThreads];
  const std::int64_t nanoseconds =
      std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count(), 0);
  mine.buckets[BucketOf(nanoseconds)].fetch_add(1, std::memory_order_relaxed);
  mine.nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
}

bool CallStats::Reports(const char* method) {
  const Method& of = MethodOf(method);
  return of.reported.load(std::memory_order_relaxed) &&
         !of.not_reported.load(std::memory_order_relaxed);
}

void CallStats::SetReports(const char* method, bool reports) {
  Method& of = MethodOf(method);
  (reports ? of.reported : of.not_reported).store(true, std::memory_order_relaxed);
}

CallStats::Method& CallStats::MethodOf(const char* name) {
  constexpr std::size_t kMostProbes = 8;
  if (name == nullptr) return other_;
  std::size_t index = Spread(name, kMethods);
  for (std::size_t probe = 0; probe < kMostProbes; ++probe, index = (index + 1) % kMethods) {
    const char* found = names_[index].load(std::memory_order_acquire);
    if (found == nullptr) {
      // Whoever is first: both have the same name, or the other one takes the next place.
      names_[index].compare_exchange_strong(found, name, std::memory_order_acq_rel);
      if (found == nullptr) found = name;
    }
    if (found != name) continue;
    Method* method = methods_[index].load(std::memory_order_acquire);
    if (method != nullptr) return *method;
    auto made = std::make_unique<Method>();
    if (methods_[index].compare_exchange_strong(method, made.get(), std::memory_order_acq_rel)) {
      return *made.release();
    }
    return *method;
  }
  return other_;
}

CallStats::Cell& CallStats::CellOf(std::atomic<Cell*>& place) {
  Cell* cell = place.load(std::memory_order_acquire);
  if (cell != nullptr) return *cell;
  auto made = std::make_unique<Cell>();
  if (place.compare_exchange_strong(cell, made.get(), std::memory_order_acq_rel)) {
    return *made.release();
  }
  return *cell;
}

CallStats::Snapshot CallStats::Look() const {
  // By name: one name may have several addresses.
  std::map<std::string, std::int64_t> started_calls;
  std::map<std::pair<std::string, int>, Row> rows;
  const auto add = [&](const std::string& name, const Method& method) {
    // Before what has begun: no more calls have ended than begun.
    for (std::size_t i = 0; i < kStatuses; ++i) {
      const Cell* const cell = method.ended[i].load(std::memory_order_acquire);
      if (cell == nullptr) continue;
      const int status = static_cast<int>(i) + kNotReported;
      Row& row = rows[{name, status}];
      row.method = name;
      row.status = status;
      for (const Durations& each : *cell) {
        for (std::size_t b = 0; b < row.buckets.size(); ++b) row.buckets[b] += each.buckets[b];
        row.seconds += static_cast<double>(each.nanoseconds) * 1e-9;
      }
    }
    for (const Counter& each : method.started) started_calls[name] += each.calls;
  };
  for (std::size_t i = 0; i < kMethods; ++i) {
    const Method* const method = methods_[i].load(std::memory_order_acquire);
    if (method != nullptr) add(names_[i].load(std::memory_order_acquire), *method);
  }
  add("other", other_);
  Snapshot snapshot;
  for (const auto& [name, calls] : started_calls) {
    if (calls > 0) snapshot.started.push_back({name, calls});
  }
  for (const auto& [key, row] : rows) snapshot.ended.push_back(row);
  return snapshot;
}

}  // namespace rpc
