#include "tests/rolling/tally.h"

namespace rolling {
namespace {

// More of them say nothing new.
constexpr std::size_t kRemembered = 5;

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  answered += other.answered;
  failed += other.failed;
  retried += other.retried;
  resumed += other.resumed;
  return *this;
}

void Tally::Answered() {
  std::lock_guard lock(mutex_);
  ++counts_.answered;
}

void Tally::Failed(const std::string& why) {
  std::lock_guard lock(mutex_);
  ++counts_.failed;
  if (failures_.size() < kRemembered) failures_.push_back(why);
}

void Tally::Retried() {
  std::lock_guard lock(mutex_);
  ++counts_.retried;
}

void Tally::Resumed() {
  std::lock_guard lock(mutex_);
  ++counts_.resumed;
}

Counts Tally::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::vector<std::string> Tally::failures() const {
  std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace rolling
