#ifndef SERVICE_FILES_FILE_WATCH_H_
#define SERVICE_FILES_FILE_WATCH_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"

namespace files {

// Reports when what is read from files has changed.
//
// The problem: files may be read while somebody is still writing them, and a file system may hang.
//
// Guarantees: a change is reported when two reads, `interval` apart, have the same result; an error
// is such a result, too. A file system that hangs delays nothing else.
//
// Requires: `read` owns all that it uses, since it may hang for longer than this lives.
//
// Threads: `read` and `changed` are called on one thread of its own, `changed` not any more once the
// destructor has returned.
template <typename Content>
class FileWatch {
 public:
  static constexpr std::chrono::milliseconds kInterval{1000};

  using Result = absl::StatusOr<Content>;
  using Read = std::function<Result()>;
  using Changed = std::function<void(const Result&)>;

  // `known`: what was read before.
  //
  // Throws std::system_error when a thread cannot be created.
  FileWatch(Read read, Content known, Changed changed,
            std::chrono::milliseconds interval = kInterval)
      : state_(new State{std::move(read), std::move(changed), std::move(known)}) {
    std::thread([state = state_, interval] { state->Watch(interval); }).detach();
  }

  ~FileWatch() {
    std::lock_guard lock(state_->mutex);
    state_->closed = true;
    state_->changes.notify_all();
  }

  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  struct State {
    void Watch(std::chrono::milliseconds interval) {
      std::unique_lock lock(mutex);
      while (!changes.wait_for(lock, interval, [this] { return closed; })) {
        lock.unlock();
        Result result = read();
        lock.lock();
        if (!closed) Compare(std::move(result));
      }
    }

    void Compare(Result result) {
      if (result == reported) return seen.reset();
      if (seen != result) {
        seen = std::move(result);
        return;
      }
      reported = *std::exchange(seen, std::nullopt);
      changed(reported);
    }

    const Read read;
    const Changed changed;
    // The thread's own.
    Result reported;
    std::optional<Result> seen{};  // Another result, of the last read.

    std::mutex mutex{};  // Held while `changed` runs.
    std::condition_variable changes{};
    bool closed = false;  // Guarded by mutex.
  };

  const std::shared_ptr<State> state_;  // Shared with the thread, which may hang in a read.
};

}  // namespace files

#endif  // SERVICE_FILES_FILE_WATCH_H_
