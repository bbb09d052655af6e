#include "service/rpc/calls/limit_log.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace rpc {

LimitLog::LimitLog(std::string what, Write write)
    : what_(std::move(what)), write_(std::move(write)) {}

void LimitLog::Count(const std::string& example, Clock::time_point now) {
  std::unique_lock lock(mutex_);
  ++total_;
  example_ = example;
  WriteRest(now, /*early=*/false, std::move(lock));
}

void LimitLog::Flush(Clock::time_point now) {
  WriteRest(now, /*early=*/false, std::unique_lock(mutex_));
}

void LimitLog::End(Clock::time_point now) {
  WriteRest(now, /*early=*/true, std::unique_lock(mutex_));
}

void LimitLog::WriteRest(Clock::time_point now, bool early, std::unique_lock<std::mutex> lock) {
  if (total_ == written_ || (now < next_ && !early)) return;
  const std::int64_t times = total_ - std::exchange(written_, total_);
  std::string line =
      absl::StrCat(what_, ": ", times, times == 1 ? " time" : " times", " in the last minute");
  if (!example_.empty()) absl::StrAppend(&line, " (", example_, ")");
  next_ = now + kInterval;
  lock.unlock();
  write_(line);
}

std::int64_t LimitLog::total() const {
  std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace rpc
