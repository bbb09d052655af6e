#ifndef SERVICE_RPC_ANSWER_WAIT_H_
#define SERVICE_RPC_ANSWER_WAIT_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "service/lifecycle/clock.h"

namespace rpc {

// Waits on one thread for what another one brings.
template <typename Value>
class AnswerWait {
 public:
  // Once.
  void Set(Value value) {
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
    changed_.notify_all();
  }

  // Waits until it is set. When it has not come within `patience` of a stop being requested of `stop`,
  // calls `give_up` and waits no longer: unset, if it has not come by then.
  std::optional<Value> Get(std::stop_token stop, std::chrono::milliseconds patience,
                           const std::function<void()>& give_up) {
    const auto is_set = [this] { return value_.has_value(); };
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, std::move(stop), is_set) &&
        !changed_.wait_for(lock, lifecycle::AtMostAYear(patience), is_set)) {
      lock.unlock();
      give_up();
      lock.lock();
    }
    return std::move(value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Value> value_;  // Guarded by mutex_.
};

}  // namespace rpc

#endif  // SERVICE_RPC_ANSWER_WAIT_H_
