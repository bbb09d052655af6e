#ifndef SERVICE_LIFECYCLE_TASK_GROUP_H_
#define SERVICE_LIFECYCLE_TASK_GROUP_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// The background workers of a process, each on a thread of its own.
//
// The problem: a worker that does not end must neither hang the stop, as a join
// would, nor be forgotten. So joining has a limit, and tells who was left.
//
// Requires of a task: it returns soon after a stop was requested of its token,
// having finished the item it was at.
//
// Threads: all methods may be called from any thread, but Join() from one at a
// time.
// Lifetime: what a task uses outlives the task. When Join() has named a task that
// still runs, the process must not destroy anything any more (shutdown_sequence.h
// sees to that).
class TaskGroup {
 public:
  using Task = std::function<void(std::stop_token)>;

  struct Left {
    std::string name;
    // DEADLINE_EXCEEDED: it still runs. INTERNAL: it threw.
    absl::Status status;
  };

  TaskGroup() = default;
  // `on_failure` is called when a task has thrown, on the task's own thread, which goes
  // on counting as running until it has returned.
  explicit TaskGroup(std::function<void(const Left&)> on_failure)
      : on_failure_(std::move(on_failure)) {}
  // Requests a stop and waits for every task, without limit.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`. After RequestStop() it starts with a token that is requested
  // already. A task that throws has ended; what it threw is in Join()'s answer.
  // Throws std::system_error, with nothing started, when no thread is to be had.
  // Requires: Join() has not been called.
  void Start(std::string name, Task task);

  // Has something count as a task that has thrown: what works in the background without
  // being one.
  void Fail(std::string name, absl::Status status);

  // Asks every task to end; does not wait.
  void RequestStop();

  // Waits until every task has ended. Returns those that did not end well, in the
  // order in which they were started; none: all is well. The thread of a task that
  // has ended is gone, too. Called again, it tells the same and what came since.
  std::vector<Left> Join(Patience& patience);

 private:
  struct Entry {
    std::string name;
    std::thread thread;
    std::optional<absl::Status> ended{};  // Unset: it runs.
  };

  void Run(std::size_t index, const std::string& name, Task task);
  void End(std::size_t index, absl::Status status);

  const std::function<void(const Left&)> on_failure_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable_any ended_;
  std::vector<Entry> tasks_;  // Guarded by mutex_.
  std::size_t running_ = 0;   // Guarded by mutex_.
  bool joined_ = false;       // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TASK_GROUP_H_
