#ifndef SERVICE_LIFECYCLE_TASK_GROUP_H_
#define SERVICE_LIFECYCLE_TASK_GROUP_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/patience.h"

namespace lifecycle {

// The background workers of a process, each on a thread of its own.
//
// The problem: a worker that does not end must neither hang the stop, as a join
// would, nor be forgotten. So joining has a limit, and tells who was left.
//
// Requires of a task: it returns soon after a stop was requested of its token,
// having finished the item it was at.
//
// Threads: all methods may be called from any thread.
// Lifetime: what a task uses outlives the task. When Join() has named a task, the
// process must not destroy anything any more (shutdown_sequence.h sees to that).
class TaskGroup {
 public:
  using Task = std::function<void(std::stop_token)>;

  TaskGroup();
  // Requests a stop and waits for every task, without limit.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`. After RequestStop() it starts with a token that is requested
  // already. A task that throws has ended; what it threw is in Join()'s answer.
  void Start(std::string name, Task task);

  // Asks every task to end; does not wait.
  void RequestStop();

  struct Left {
    std::string name;
    // DEADLINE_EXCEEDED: it still runs. INTERNAL: it threw.
    absl::Status status;
  };

  // Waits until every task has ended. Returns those that did not end well, in the
  // order in which they were started; none: all is well.
  std::vector<Left> Join(Patience& patience);

 private:
  struct State;
  // Shared with the tasks' threads, so that one that never ends has it still.
  const std::shared_ptr<State> state_;
  std::stop_source stop_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TASK_GROUP_H_
