#ifndef SERVICE_RPC_CALLS_LIMIT_LOG_H_
#define SERVICE_RPC_CALLS_LIMIT_LOG_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace rpc {

// Logs something that a peer can cause as often as it likes, without filling the log: the first
// time at once, then once a minute with a count.
//
// Whoever has one calls Flush() now and then, and End() at the end: what came after the last line is
// logged only then, or with the next occurrence. A ServerHost does so for its own.
//
// Threads: all methods may be called from any thread; `write` is called without a lock held.
class LimitLog {
 public:
  using Clock = std::chrono::steady_clock;
  using Write = std::function<void(const std::string& line)>;
  static constexpr std::chrono::seconds kInterval{60};

  // A line is "`what`: N times in the last minute (`example`)"; `write` must not block.
  LimitLog(std::string what, Write write);

  // Counts one occurrence. `example`: the latest one; either our own text or escaped.
  void Count(const std::string& example = "", Clock::time_point now = Clock::now());

  // Writes what was counted since the last line, if that is long enough ago: for occurrences after
  // which no more came. Cheap.
  void Flush(Clock::time_point now = Clock::now());

  // Writes it however long ago that is: there may be no other time.
  void End(Clock::time_point now = Clock::now());

  // How often it has happened.
  std::int64_t total() const;

 private:
  // Also before `next_` if `early`. `lock`: of mutex_.
  void WriteRest(Clock::time_point now, bool early, std::unique_lock<std::mutex> lock);

  const std::string what_;
  const Write write_;
  mutable std::mutex mutex_;
  std::int64_t total_ = 0;    // Guarded by mutex_.
  std::int64_t written_ = 0;  // Guarded by mutex_: how much of it was logged.
  std::string example_;       // Guarded by mutex_.
  Clock::time_point next_{};  // Guarded by mutex_: when the next line may be written.
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_LIMIT_LOG_H_
