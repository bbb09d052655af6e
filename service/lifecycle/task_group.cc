#include "service/lifecycle/task_group.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lifecycle {

struct TaskGroup::State {
  struct Entry {
    std::string name;
    std::optional<absl::Status> ended;  // Unset: it runs.
  };

  std::mutex mutex;
  std::condition_variable_any ended;
  std::vector<Entry> tasks;     // Guarded by mutex.
  std::size_t running = 0;      // Guarded by mutex.
};

namespace {

absl::Status RunTask(const TaskGroup::Task& task, const std::stop_token& stop) {
  try {
    task(stop);
    return absl::OkStatus();
  } catch (const std::exception& thrown) {
    return absl::InternalError(absl::StrCat("threw: ", thrown.what()));
  } catch (...) {
    return absl::InternalError("threw something that is no std::exception");
  }
}

}  // namespace

TaskGroup::TaskGroup() : state_(std::make_shared<State>()) {}

TaskGroup::~TaskGroup() {
  RequestStop();
  std::unique_lock lock(state_->mutex);
  state_->ended.wait(lock, [this] { return state_->running == 0; });
}

void TaskGroup::Start(std::string name, Task task) {
  std::size_t index;
  {
    std::lock_guard lock(state_->mutex);
    index = state_->tasks.size();
    state_->tasks.push_back({std::move(name), std::nullopt});
    ++state_->running;
  }
  // Detached, because a thread that cannot be joined in time cannot be destroyed
  // either; State counts who runs.
  std::thread([state = state_, index, task = std::move(task), stop = stop_.get_token()]() mutable {
    absl::Status status = RunTask(task, stop);
    task = nullptr;  // What it captured is gone before it counts as ended.
    std::lock_guard lock(state->mutex);
    state->tasks[index].ended = std::move(status);
    --state->running;
    state->ended.notify_all();
  }).detach();
}

void TaskGroup::RequestStop() { stop_.request_stop(); }

std::vector<TaskGroup::Left> TaskGroup::Join(Patience& patience) {
  std::unique_lock lock(state_->mutex);
  patience.Wait(lock, state_->ended, [this] { return state_->running == 0; });
  std::vector<Left> left;
  for (const State::Entry& task : state_->tasks) {
    if (!task.ended) {
      left.push_back({task.name, absl::DeadlineExceededError("did not end in its time")});
    } else if (!task.ended->ok()) {
      left.push_back({task.name, *task.ended});
    }
  }
  return left;
}

}  // namespace lifecycle
