#include "tests/chaos/faults.h"

#include <condition_variable>
#include <cstddef>
#include <cstdio>

namespace chaos {

std::chrono::milliseconds Between(Random& random, int least_ms, int most_ms) {
  const auto width = static_cast<unsigned>(most_ms - least_ms + 1);
  return std::chrono::milliseconds(least_ms + static_cast<int>(random() % width));
}

void Tally::Count(const std::string& kind) {
  std::lock_guard lock(mutex_);
  ++counts_[kind];
}

void Tally::Violation(const std::string& sentence) {
  constexpr std::size_t kMost = 50;
  std::lock_guard lock(mutex_);
  violations_.push_back(sentence);
  if (violations_.size() > kMost) return;
  std::printf("VIOLATION: %s\n", sentence.c_str());
  std::fflush(stdout);
}

std::map<std::string, int> Tally::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::vector<std::string> Tally::violations() const {
  std::lock_guard lock(mutex_);
  return violations_;
}

Torment::Torment(unsigned seed, int most_pause_ms, std::vector<Fault> faults, Tally& tally)
    : random_(seed),
      most_pause_ms_(most_pause_ms),
      faults_(std::move(faults)),
      tally_(tally),
      thread_([this](std::stop_token stop) {
        Run(stop);
        healed_.count_down();
        over_.wait();
      }) {}

Torment::~Torment() {
  Stop();
  over_.count_down();
}

void Torment::Stop() {
  thread_.request_stop();
  healed_.wait();
}

void Torment::Run(const std::stop_token& stop) {
  std::vector<int> weights;
  for (const Fault& fault : faults_) weights.push_back(fault.weight);
  std::discrete_distribution<std::size_t> choose(weights.begin(), weights.end());
  std::mutex mutex;
  std::condition_variable_any never;
  for (;;) {
    const auto pause = Between(random_, 0, most_pause_ms_);
    const Fault& fault = faults_[choose(random_)];
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, pause, [] { return false; });
    if (stop.stop_requested()) return;
    tally_.Count(fault.kind);
    fault.inflict(random_);
  }
}

}  // namespace chaos
