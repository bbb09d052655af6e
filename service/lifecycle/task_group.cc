#include "service/lifecycle/task_group.h"

#include <utility>

#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/run_or_catch.h"

namespace lifecycle {

TaskGroup::~TaskGroup() {
  RequestStop();
  {
    // Before looking at the threads: a task may start another one.
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_ == 0; });
  }
  for (Entry& task : tasks_) {
    if (task.thread.joinable()) task.thread.join();
  }
}

void TaskGroup::Start(std::string name, Task task) {
  std::unique_lock lock(mutex_);
  const bool joined = joined_;
  if (joined) lock.unlock();
  Require(!joined, "TaskGroup::Start(\"" + name + "\") after all were joined");
  const std::size_t index = tasks_.size();
  tasks_.push_back({name, std::thread()});
  ++running_;
  lock.unlock();  // If this throws, whatever ends the process must not find the lock held.
  std::thread thread;
  try {
    thread = std::thread(&TaskGroup::Run, this, index, std::move(name), std::move(task));
  } catch (...) {
    End(index, absl::OkStatus());
    throw;
  }
  lock.lock();
  tasks_[index].thread = std::move(thread);
}

void TaskGroup::Fail(std::string name, absl::Status status) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back({name, std::thread(), status});
  }
  if (on_failure_ != nullptr) on_failure_({std::move(name), std::move(status)});
}

void TaskGroup::Run(std::size_t index, const std::string& name, Task task) {
  absl::Status status = RunOrCatch([&] {
    task(stop_.get_token());
    return absl::OkStatus();
  });
  if (!status.ok() && on_failure_ != nullptr) on_failure_({name, status});
  task = nullptr;  // What it captured is gone before it counts as ended.
  End(index, std::move(status));
}

void TaskGroup::End(std::size_t index, absl::Status status) {
  std::lock_guard lock(mutex_);
  tasks_[index].ended = std::move(status);
  --running_;
  ended_.notify_all();
}

void TaskGroup::RequestStop() { stop_.request_stop(); }

std::vector<TaskGroup::Left> TaskGroup::Join(Patience& patience) {
  std::vector<Left> left;
  std::vector<std::thread> ended;  // Joined without the lock, which each of them still needs.
  {
    std::unique_lock lock(mutex_);
    // A task that still runs may start another one.
    joined_ = patience.Wait(lock, ended_, [this] { return running_ == 0; });
    for (Entry& task : tasks_) {
      task.returned = !task.ended || !task.ended->ok();
      if (!task.ended) {
        left.push_back({task.name, absl::DeadlineExceededError("did not end in time")});
        continue;
      }
      if (!task.ended->ok()) left.push_back({task.name, *task.ended});
      if (task.thread.joinable()) ended.push_back(std::move(task.thread));
    }
  }
  for (std::thread& thread : ended) thread.join();
  return left;
}

std::vector<TaskGroup::Left> TaskGroup::LateFailures() {
  std::vector<Left> late;
  std::lock_guard lock(mutex_);
  for (Entry& task : tasks_) {
    if (!task.ended || task.ended->ok() || std::exchange(task.returned, true)) continue;
    late.push_back({task.name, *task.ended});
  }
  return late;
}

std::vector<std::string> TaskGroup::TryStopping() const {
  std::vector<std::string> names;
  if (!stop_.stop_requested()) return names;
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return names;
  for (const Entry& task : tasks_) {
    if (!task.ended) names.push_back(task.name);
  }
  return names;
}

}  // namespace lifecycle
