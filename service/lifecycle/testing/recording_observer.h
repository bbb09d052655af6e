#ifndef SERVICE_LIFECYCLE_TESTING_RECORDING_OBSERVER_H_
#define SERVICE_LIFECYCLE_TESTING_RECORDING_OBSERVER_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "service/lifecycle/event.h"

namespace lifecycle {

// Records everything it receives, as one timeline that a test compares with a literal list.
//
// Threads: all methods may be called from any thread.
class RecordingObserver final : public Observer {
 public:
  void OnProcess(const Process* process) override { process_ = process; }

  void OnEvent(const Event& event) override {
    std::lock_guard lock(mutex_);
    events_.push_back(event);
    lines_.push_back(event.name() + (event.subject.empty() ? "" : " " + event.subject));
    changed_.notify_all();
  }

  void OnPhase(Phase phase, Clock::TimePoint at, std::optional<Clock::Duration> budget) override {
    std::lock_guard lock(mutex_);
    phases_.push_back({phase, at, budget});
  }

  void OnPhaseLimit(Clock::TimePoint at, Clock::Duration left) override {
    std::lock_guard lock(mutex_);
    limits_.push_back({at, left});
  }

  void OnEnd(const End& end) override {
    std::lock_guard lock(mutex_);
    ends_.push_back(end);
  }

  // Null: none yet, or no more.
  const Process* process() const { return process_; }

  // Adds a line of the test's own to the timeline.
  void Note(std::string line) {
    std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
    changed_.notify_all();
  }

  // Blocks until the timeline has this line.
  void Await(const std::string& line) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return std::count(lines_.begin(), lines_.end(), line) > 0; });
  }

  // "Name" or "Name subject" for every event, and the notes, in order.
  std::vector<std::string> Lines() const {
    std::lock_guard lock(mutex_);
    return lines_;
  }

  std::vector<Event> Events() const {
    std::lock_guard lock(mutex_);
    return events_;
  }

  struct BegunPhase {
    Phase phase;
    Clock::TimePoint at;
    std::optional<Clock::Duration> budget;
  };
  std::vector<BegunPhase> Phases() const {
    std::lock_guard lock(mutex_);
    return phases_;
  }

  struct Limit {
    Clock::TimePoint at;
    Clock::Duration left;
  };
  std::vector<Limit> Limits() const {
    std::lock_guard lock(mutex_);
    return limits_;
  }

  std::vector<End> Ends() const {
    std::lock_guard lock(mutex_);
    return ends_;
  }

 private:
  std::atomic<const Process*> process_ = nullptr;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
  std::vector<Event> events_;       // Guarded by mutex_.
  std::vector<BegunPhase> phases_;  // Guarded by mutex_.
  std::vector<Limit> limits_;       // Guarded by mutex_.
  std::vector<End> ends_;           // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_RECORDING_OBSERVER_H_
