#include "service/observability/log_writer.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/lifecycle/last_resort/write_without_blocking.h"
#include "service/observability/printable.h"
#include "service/observability/utc_time.h"

namespace observability {
namespace {

using lifecycle::Clock;

constexpr std::size_t kMaxBytes = 1 << 20;
// A reader that accepts nothing for this long does not read; and how often to try again.
constexpr std::chrono::milliseconds kPatience(100);
constexpr std::string_view kReport = "shutdown report: {";

// A field's, for example of a method that a caller has made up.
constexpr std::size_t kMaxValue = 300;
constexpr std::string_view kLevels = "DIWE";

void AppendNow(std::string& line) {
  AppendUtcTime(line, std::chrono::system_clock::now(), /*digits=*/3);
}

void AppendHead(std::string& line, char level, const std::string& program) {
  AppendNow(line);
  line.append(1, ' ').append(1, level).append(1, ' ').append(program).append(": ");
}

std::string JsonHead(char level, const std::string& program) {
  constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  std::string head = "{\"time\":\"";
  AppendNow(head);
  return absl::StrCat(head, "\",\"level\":\"", kNames[kLevels.find(level)],
                      "\",\"program\":", JsonString(program, kMaxValue), ",");
}

void AppendFields(std::string& line, const LogFields& fields) {
  for (const LogField& field : fields) {
    line.append(1, ' ').append(field.name).append(1, '=');
    AppendPrintableWord(line, std::string_view(field.value).substr(0, kMaxValue));
  }
}

std::string TextLine(char level, const std::string& program, std::string_view words,
                     const LogFields& fields) {
  std::string line;
  line.reserve(PIPE_BUF / 8);  // Nearly every line has room in it.
  AppendHead(line, level, program);
  // It would be mistaken for a report by readers of the log.
  if (words.starts_with(kReport)) line += "[log] ";
  AppendPrintable(line, words.substr(0, PIPE_BUF));
  const std::size_t end_of_words = line.size();
  AppendFields(line, fields);
  if (line.size() > PIPE_BUF / 2) [[unlikely]] {
    std::string rest = line.substr(end_of_words);
    CutOff(rest, PIPE_BUF / 2);
    line.resize(end_of_words);
    CutOff(line, PIPE_BUF - 1 - rest.size());
    line += rest;
  }
  return line.append(1, '\n');
}

std::string JsonLine(char level, const std::string& program, std::string_view words,
                     const LogFields& fields) {
  std::string rest;
  for (const LogField& field : fields) {
    const std::string member =
        absl::StrCat(",", JsonString(field.name, kMaxValue), ":",
                     field.is_number ? field.value : JsonString(field.value, kMaxValue));
    if (rest.size() + member.size() <= PIPE_BUF / 2) rest += member;
  }
  const std::string head = absl::StrCat(JsonHead(level, program), "\"message\":");
  return absl::StrCat(head, JsonString(words, PIPE_BUF - 2 - head.size() - rest.size()), rest,
                      "}\n");
}

}  // namespace

// What is to be written, in order.
class LogWriter::Queue {
 public:
  Queue(int fd, std::string program, bool json)
      : fd_(fd), program_(std::move(program)), json_(json) {}

  // What the thread does.
  void WriteUntilClosed() {
    std::unique_lock lock(mutex_);
    while (!closed_) {
      if (lines_.empty()) {
        changed_.wait(lock, [this] { return closed_ || !lines_.empty(); });
      } else if (!WriteFront(lock, kPatience)) {
        changed_.wait_for(lock, kPatience, [this] { return closed_; });
      }
    }
  }

  void HasThread() {
    std::lock_guard lock(mutex_);
    has_thread_ = true;
  }

  void Add(std::string line, bool always = false) {
    std::unique_lock lock(mutex_);
    if (!always && bytes_ + line.size() > kMaxBytes) {
      ++lost_;
      ++unsaid_;
      return;
    }
    SayWhatWasLost();
    Push(std::move(line));
    if (has_thread_) return changed_.notify_all();
    while (!lines_.empty() && WriteFront(lock, {})) continue;
  }

  bool Flush(Clock::Duration limit, bool or_drop) {
    std::unique_lock lock(mutex_);
    const Clock::TimePoint end = Clock::Steady().Now() + limit;
    stuck_ = false;  // The reader may read again.
    const auto over = [this] { return lines_.empty() || (stuck_ && !writing_); };
    while (!over()) {
      const auto left = std::chrono::floor<std::chrono::milliseconds>(end - Clock::Steady().Now());
      if (left <= left.zero()) break;
      // The thread may get no time on a busy machine.
      if (!writing_) {
        WriteFront(lock, std::min(left, kPatience));
      } else {
        changed_.wait_until(lock, end, [&] { return over() || !writing_; });
      }
    }
    const bool flushed = lines_.empty();
    // With room it is not the reader who is slow but this process, on a busy machine.
    if (!flushed && or_drop && !HasRoom()) DropWaiting();
    return flushed;
  }

  bool WritesTo(const std::string& path) const {
    struct stat ours, other;
    return fstat(fd_, &ours) == 0 && stat(path.c_str(), &other) == 0 &&
           ours.st_dev == other.st_dev && ours.st_ino == other.st_ino;
  }

  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  std::int64_t Dropped() const {
    std::lock_guard lock(mutex_);
    return lost_;
  }

  std::int64_t Lost() const {
    std::lock_guard lock(mutex_);
    return lost_ + (stuck_ ? static_cast<std::int64_t>(lines_.size()) : 0);
  }

 private:
  // Those below require the mutex.

  void Push(std::string line) {
    bytes_ += line.size();
    lines_.push_back(std::move(line));
  }

  bool HasRoom() const {
    pollfd out{fd_, POLLOUT, 0};
    return poll(&out, 1, /*milliseconds=*/0) == 1 && (out.revents & POLLOUT) != 0;
  }

  // Keeps the first line if it is begun.
  void DropWaiting() {
    const std::size_t kept = writing_ || written_ > 0 ? 1 : 0;
    const auto dropped = static_cast<std::int64_t>(lines_.size() - kept);
    lost_ += dropped;
    unsaid_ += dropped;
    lines_.resize(kept);
    bytes_ = kept == 0 ? 0 : lines_.front().size();
  }

  void SayWhatWasLost() {
    if (unsaid_ == 0) return;
    const std::string words =
        absl::StrCat(std::exchange(unsaid_, 0), " lines lost: nobody read the log");
    Push(json_ ? JsonLine('W', program_, words, {}) : TextLine('W', program_, words, {}));
  }

  // Writes what it can of the first line, PIPE_BUF at most, without the mutex. False:
  // nothing of it, or another thread is writing.
  bool WriteFront(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds patience) {
    if (std::exchange(writing_, true)) return false;
    const std::string_view rest = std::string_view(lines_.front()).substr(written_);
    lock.unlock();
    const std::size_t written =
        lifecycle::WriteWithoutBlocking(fd_, rest.substr(0, PIPE_BUF), patience);
    lock.lock();
    writing_ = false;
    stuck_ = written == 0;
    changed_.notify_all();
    if (stuck_) return false;
    written_ += written;
    if (written == rest.size()) {
      bytes_ -= std::exchange(written_, 0);
      lines_.pop_front();
      if (lines_.empty()) SayWhatWasLost();
    }
    return true;
  }

  const int fd_;
  const std::string program_;
  const bool json_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All below: guarded by mutex_. Only the thread that set writing_ removes lines_.front().
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;    // Of lines_.
  std::size_t written_ = 0;  // Of the first line.
  bool writing_ = false;
  std::int64_t lost_ = 0;    // In all.
  std::int64_t unsaid_ = 0;  // Of these, not yet reported by a line.
  bool has_thread_ = false;
  bool closed_ = false;
  bool stuck_ = false;  // Nothing could be written the last time, for all of its patience.
};

LogWriter::LogWriter(std::string program, int fd, LogOptions options)
    : program_(std::move(program)),
      options_(std::move(options)),
      queue_(std::make_shared<Queue>(fd, program_, options_.json)) {
  try {
    std::thread([queue = queue_] { queue->WriteUntilClosed(); }).detach();
    queue_->HasThread();
  } catch (const std::system_error&) {
    // The logging thread writes.
  }
}

LogWriter::~LogWriter() {
  Flush(kPatience);
  queue_->Close();
}

void LogWriter::Log(char level, std::string_view words, LogFields fields) {
  if (kLevels.find(level) < kLevels.find(options_.level)) return;
  if (options_.tags) {
    for (LogField& tag : options_.tags()) fields.push_back(std::move(tag));
  }
  queue_->Add(options_.json ? JsonLine(level, program_, words, fields)
                            : TextLine(level, program_, words, fields));
}

void LogWriter::LogReport(std::string_view json) {
  std::string line;
  if (options_.json) {
    // One line, whose only other members are ours, so it is JSON as it is.
    line = absl::StrCat(JsonHead('I', program_), "\"shutdown_report\":", std::string(json), "}\n");
  } else {
    AppendHead(line, 'I', program_);
    line.append(kReport.substr(0, kReport.size() - 1)).append(Printable(json)).append(1, '\n');
  }
  queue_->Add(std::move(line), /*always=*/true);
}

void LogWriter::Print(std::string_view words) const {
  lifecycle::WriteWithoutBlocking(STDOUT_FILENO, Printable(words) + "\n");
}

bool LogWriter::Flush(Clock::Duration limit) { return queue_->Flush(limit, /*or_drop=*/false); }

bool LogWriter::FlushOrDrop(Clock::Duration limit) {
  return queue_->Flush(limit, /*or_drop=*/true);
}

bool LogWriter::WritesTo(const std::string& path) const { return queue_->WritesTo(path); }

std::int64_t LogWriter::Dropped() const { return queue_->Dropped(); }

std::int64_t LogWriter::Lost() const { return queue_->Lost(); }

}  // namespace observability
