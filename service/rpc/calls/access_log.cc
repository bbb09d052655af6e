#include "service/rpc/calls/access_log.h"

#include <iterator>
#include <utility>

namespace rpc {

std::string CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto number = static_cast<std::size_t>(code);
  return number < std::size(kNames) ? kNames[number] : std::to_string(code);
}

AccessLog::AccessLog(int calls_per_second)
    : calls_per_second_(calls_per_second),
      skipped_("did not log a call: there were more than --access_log_per_second",
               [this](const std::string& line) {
                 const auto to = receiver();
                 if (to != nullptr && to->write_skipped) to->write_skipped(line);
               }) {}

void AccessLog::LogTo(Write write, LimitLog::Write write_skipped) {
  auto receiver =
      std::make_shared<const Receiver>(Receiver{std::move(write), std::move(write_skipped)});
  std::lock_guard lock(mutex_);
  receiver_ = std::move(receiver);
}

bool AccessLog::IsFull(lifecycle::Clock::TimePoint now) const {
  return now - second_.load(std::memory_order_relaxed) < std::chrono::seconds(1) &&
         admitted_.load(std::memory_order_relaxed) >= calls_per_second_;
}

bool AccessLog::Admits(lifecycle::Clock::TimePoint now) {
  if (!IsFull(now)) {
    std::lock_guard lock(mutex_);
    if (now - second_.load(std::memory_order_relaxed) >= std::chrono::seconds(1)) {
      second_.store(now, std::memory_order_relaxed);
      admitted_.store(0, std::memory_order_relaxed);
    }
    if (!IsFull(now)) {
      admitted_.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  }
  skipped_.Count("", now);
  return false;
}

void AccessLog::Log(EndedCall call) {
  const auto to = receiver();
  if (to != nullptr && to->write) to->write(std::move(call));
}

std::shared_ptr<const AccessLog::Receiver> AccessLog::receiver() {
  std::lock_guard lock(mutex_);
  return receiver_;
}

}  // namespace rpc
