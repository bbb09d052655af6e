#include "service/observability/report_file.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "service/files/write_file.h"

namespace observability {

struct ReportFile::Job {
  const std::string path;
  bool has_thread = false;  // Constant once it is made.
  std::mutex mutex{};
  std::condition_variable changed{};
  // All below: guarded by mutex.
  bool closed = false;
  std::optional<std::string> text{};  // Until it is written.
  absl::Status written{};

  void Run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return closed || text.has_value(); });
      if (!text) return;
      const std::string copy = *text;
      lock.unlock();
      const absl::Status status = files::WriteFile(path, copy, files::kForOwner);
      lock.lock();
      written = status;
      text.reset();
      changed.notify_all();
    }
  }
};

ReportFile::ReportFile(const std::string& path) : job_(new Job{.path = path}) {
  if (path.empty()) return;
  try {
    std::thread([job = job_] { job->Run(); }).detach();
    job_->has_thread = true;
  } catch (const std::system_error&) {
    // The calling thread writes it.
  }
}

ReportFile::~ReportFile() {
  std::lock_guard lock(job_->mutex);
  job_->closed = true;
  job_->changed.notify_all();
}

absl::Status ReportFile::Write(const std::string& text, lifecycle::Clock::TimePoint latest) {
  if (job_->path.empty()) return absl::OkStatus();
  if (!job_->has_thread) return files::WriteFile(job_->path, text, files::kForOwner);
  std::unique_lock lock(job_->mutex);
  const auto free = [this] { return !job_->text.has_value(); };
  // A thread that hangs may have received one before.
  if (job_->changed.wait_until(lock, latest, free)) {
    job_->text = text;
    job_->changed.notify_all();
    if (job_->changed.wait_until(lock, latest, free)) return job_->written;
  }
  return absl::DeadlineExceededError(absl::StrCat("not written in time: ", job_->path, " hangs"));
}

}  // namespace observability
