#ifndef SERVICE_OBSERVABILITY_REPORT_FILE_H_
#define SERVICE_OBSERVABILITY_REPORT_FILE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace observability {

// Writes the report's file at the very end of a process, when a disk may hang and no thread can be
// created any more: so its thread is started with the object.
//
// Threads: any.
class ReportFile {
 public:
  // Replaces the content of a file. Called on any thread; may hang.
  using Writer = std::function<absl::Status(const std::string& path, const std::string& text)>;
  // service/files/write_file.h, for its owner only.
  static absl::Status WriteForOwner(const std::string& path, const std::string& text);

  // Empty: no file.
  explicit ReportFile(const std::string& path, Writer write = WriteForOwner);
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  // Begins to replace its content by `text`, without waiting for a disk. A text that is not yet
  // begun gives way to the next one.
  void Begin(std::string text);

  // Waits until all is written, and returns by `latest`. If even the thread could not be created at
  // the start, this writes, and may take as long as the disk does.
  //
  // Errors: those of the writer for the last text; DEADLINE_EXCEEDED when it hangs.
  absl::Status Await(lifecycle::Clock::TimePoint latest);

 private:
  struct Job;

  const std::shared_ptr<Job> job_;  // Shared with the thread, which may hang forever.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_REPORT_FILE_H_
