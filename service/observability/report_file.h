#ifndef SERVICE_OBSERVABILITY_REPORT_FILE_H_
#define SERVICE_OBSERVABILITY_REPORT_FILE_H_

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
  // Empty: no file.
  explicit ReportFile(const std::string& path);
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  // Replaces its content by `text` (service/files/write_file.h) and returns by `latest`. If even
  // the thread could not be created at the start, it may take as long as the disk does.
  //
  // Errors: those of files::WriteFile(); DEADLINE_EXCEEDED when it hangs.
  absl::Status Write(const std::string& text, lifecycle::Clock::TimePoint latest);

 private:
  struct Job;

  const std::shared_ptr<Job> job_;  // Shared with the thread, which may hang forever.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_REPORT_FILE_H_
