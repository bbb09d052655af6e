#include "service/rpc/limit_log.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace rpc {

LimitLog::LimitLog(std::string what, Write write)
    : what_(std::move(what)), write_(std::move(write)) {}

void LimitLog::Count(const std::string& example, Clock::time_point now) {
  {
    std::lock_guard lock(mutex_);
    ++total_;
    example_ = example;
  }
  Flush(now);
}

void LimitLog::Flush(Clock::time_point now) { WriteRest(now, /*early=*/false); }

void LimitLog::End(Clock::time_point now) { WriteRest(now, /*early=*/true); }

void LimitLog::WriteRest(Clock::time_point now, bool early) {
  std::string line;
  {
    std::lock_guard lock(mutex_);
    if (total_ == written_ || (now < next_ && !early)) return;
    const std::int64_t times = total_ - std::exchange(written_, total_);
    line = absl::StrCat(what_, ": ", times, times == 1 ? " time" : " times", " in the last minute");
    if (!example_.empty()) absl::StrAppend(&line, " (", example_, ")");
    next_ = now + kInterval;
  }
  write_(line);
}

std::int64_t LimitLog::total() const {
  std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace rpc
