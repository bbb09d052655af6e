#include "service/files/file_watch.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "service/files/read_file.h"

namespace files {

struct FileWatch::State {
  void Watch(std::chrono::milliseconds interval) {
    std::unique_lock lock(mutex);
    while (!changes.wait_for(lock, interval, [this] { return closed; })) {
      lock.unlock();
      absl::StatusOr<std::string> read = ReadFile(path);
      lock.lock();
      if (!closed) Look(std::move(read));
    }
  }

  void Look(absl::StatusOr<std::string> read) {
    if (read == told) return seen.reset();
    if (seen != read) {
      seen = std::move(read);
      return;
    }
    told = *std::exchange(seen, std::nullopt);
    changed(told);
  }

  const std::string path;
  const Changed changed;
  // The thread's own.
  absl::StatusOr<std::string> told;
  std::optional<absl::StatusOr<std::string>> seen{};  // Something else, at the last look.

  std::mutex mutex{};  // Held while `changed` runs.
  std::condition_variable changes{};
  bool closed = false;  // Guarded by mutex.
};

FileWatch::FileWatch(std::string path, std::string text, Changed changed,
                     std::chrono::milliseconds interval)
    : state_(new State{std::move(path), std::move(changed), std::move(text)}) {
  std::thread([state = state_, interval] { state->Watch(interval); }).detach();
}

FileWatch::~FileWatch() {
  std::lock_guard lock(state_->mutex);
  state_->closed = true;
  state_->changes.notify_all();
}

}  // namespace files
