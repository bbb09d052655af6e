#ifndef TESTS_BENCH_STATISTICS_H_
#define TESTS_BENCH_STATISTICS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace bench {

// The nearest-rank percentile: the smallest sample that at least the share `p` (0 to 1) of all
// samples do not exceed, so always one that was measured.
//
// Requires: at least one sample.
double Percentile(std::vector<double> samples, double p);

// Summary of several rounds of a measurement.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

// Requires: at least one round. The median of an even number of rounds is the mean of the two in
// the middle.
Spread SpreadOf(std::vector<double> rounds);

// The ratio of `of` to `to`, round by round: both sides of a round were measured at the same time,
// so what disturbed one disturbed the other.
//
// Requires: as many rounds on both sides, at least one.
Spread RatioSpread(const std::vector<double>& of, const std::vector<double>& to);

// The cost of one more call, when `few` calls cost `cost_of_few` and `many` calls cost
// `cost_of_many`: starting and stopping cancel out.
//
// Requires: few < many.
double CostOfOneMore(std::int64_t few, double cost_of_few, std::int64_t many, double cost_of_many);

// The total number of instructions in a callgrind output file.
//
// Errors: INVALID_ARGUMENT: the text has no total.
absl::StatusOr<std::int64_t> CallgrindTotal(const std::string& text);

}  // namespace bench

#endif  // TESTS_BENCH_STATISTICS_H_
