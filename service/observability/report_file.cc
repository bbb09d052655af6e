#include "service/observability/report_file.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/files/write_file.h"

namespace observability {

struct ReportFile::Job {
  const std::string path;
  const Writer write;
  bool has_thread = false;  // Constant once it is made.
  std::mutex mutex{};
  std::condition_variable changed{};
  // All below: guarded by mutex.
  bool closed = false;
  std::optional<std::string> text{};  // Until it is begun.
  bool writing = false;
  absl::Status written{};

  void Run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return closed || text.has_value(); });
      if (!text) return;
      WriteText(lock);
    }
  }

  // Requires: there is one.
  void WriteText(std::unique_lock<std::mutex>& lock) {
    const std::string taken = *std::exchange(text, std::nullopt);
    writing = true;
    lock.unlock();
    absl::Status status = write(path, taken);
    lock.lock();
    writing = false;
    written = std::move(status);
    changed.notify_all();
  }
};

absl::Status ReportFile::WriteForOwner(const std::string& path, const std::string& text) {
  return files::WriteFile(path, text, files::kForOwner);
}

ReportFile::ReportFile(const std::string& path, Writer write)
    : job_(new Job{.path = path, .write = std::move(write)}) {
  if (path.empty()) return;
  try {
    std::thread([job = job_] { job->Run(); }).detach();
    job_->has_thread = true;
  } catch (const std::system_error&) {
    // Await() writes it.
  }
}

ReportFile::~ReportFile() {
  std::lock_guard lock(job_->mutex);
  job_->closed = true;
  job_->changed.notify_all();
}

void ReportFile::Begin(std::string text) {
  if (job_->path.empty()) return;
  std::lock_guard lock(job_->mutex);
  job_->text = std::move(text);
  job_->changed.notify_all();
}

absl::Status ReportFile::Await(lifecycle::Clock::TimePoint latest) {
  std::unique_lock lock(job_->mutex);
  if (!job_->has_thread && job_->text) job_->WriteText(lock);
  const auto done = [this] { return !job_->text && !job_->writing; };
  if (job_->changed.wait_until(lock, latest, done)) return job_->written;
  return absl::DeadlineExceededError(absl::StrCat("not written in time: ", job_->path, " hangs"));
}

}  // namespace observability
