#include "tests/bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"

namespace bench {

double Percentile(std::vector<double> samples, double p) {
  const double rank = std::ceil(p * static_cast<double>(samples.size()));
  const auto index = static_cast<std::ptrdiff_t>(std::max(rank, 1.0)) - 1;
  std::nth_element(samples.begin(), samples.begin() + index, samples.end());
  return samples[static_cast<std::size_t>(index)];
}

Spread SpreadOf(std::vector<double> rounds) {
  std::sort(rounds.begin(), rounds.end());
  const std::size_t middle = rounds.size() / 2;
  const double median =
      rounds.size() % 2 == 1 ? rounds[middle] : (rounds[middle - 1] + rounds[middle]) / 2;
  return {median, rounds.front(), rounds.back()};
}

Spread RatioSpread(const std::vector<double>& of, const std::vector<double>& to) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.size(); ++i) ratios.push_back(of[i] / to[i]);
  return SpreadOf(std::move(ratios));
}

double CostOfOneMore(std::int64_t few, double cost_of_few, std::int64_t many, double cost_of_many) {
  return (cost_of_many - cost_of_few) / static_cast<double>(many - few);
}

absl::StatusOr<std::int64_t> CallgrindTotal(const std::string& text) {
  // One part of the output has one such line at its end; there may be several parts.
  std::int64_t total = 0;
  bool found = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string key = "totals: ";
    std::int64_t part = 0;
    if (line.rfind(key, 0) == 0 && absl::SimpleAtoi(line.substr(key.size()), &part)) {
      total += part;
      found = true;
    }
  }
  if (!found) return absl::InvalidArgumentError("no line \"totals: N\" in what callgrind wrote");
  return total;
}

}  // namespace bench
