#ifndef SERVICE_OBSERVABILITY_REPORT_FILE_H_
#define SERVICE_OBSERVABILITY_REPORT_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace observability {

// The file of a report that is written at the very end of a process, when a disk may hang
// and there may be no thread to be had: so its thread is started with this.
//
// Threads: any.
class ReportFile {
 public:
  // Empty: there is none.
  explicit ReportFile(const std::string& path);
  ~ReportFile();
  ReportFile(const ReportFile&) = delete;
  ReportFile& operator=(const ReportFile&) = delete;

  // Makes `text` its content (service/files/write_file.h), and returns at `latest` at the
  // latest. When there was no thread even at the start, it may take as long as the disk does.
  //
  // Errors: those of files::WriteFile(); DEADLINE_EXCEEDED when it hangs.
  absl::Status Write(const std::string& text, lifecycle::Clock::TimePoint latest);

 private:
  struct Job;

  const std::shared_ptr<Job> job_;  // Shared with the thread, which may hang for ever.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_REPORT_FILE_H_
