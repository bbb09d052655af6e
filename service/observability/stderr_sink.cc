#include "service/observability/stderr_sink.h"

#include <limits.h>
#include <poll.h>

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"

namespace observability {
namespace {

constexpr std::chrono::milliseconds kPatience(100);

// Writes all of `line`, or nothing of it. False: nobody takes it.
//
// A pipe that is ready to be written to takes PIPE_BUF bytes without blocking
// (POSIX, write()).
bool Write(int fd, const std::string& line, std::chrono::milliseconds patience) {
  pollfd out = {fd, POLLOUT, 0};
  if (poll(&out, 1, static_cast<int>(patience.count())) != 1) return false;
  return (out.revents & POLLOUT) != 0 && write(fd, line.data(), line.size()) >= 0;
}

}  // namespace

void StderrSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t formatted;
  formatter_->format(message, formatted);
  std::string line(formatted.data(), formatted.size());
  if (line.size() > PIPE_BUF) {
    line.resize(PIPE_BUF);
    line.back() = '\n';
  }
  if (lost_ > 0 && Write(fd_, absl::StrCat("(", lost_, " lines lost: nobody read them)\n"), {})) {
    lost_ = 0;
  }
  if (lost_ > 0 || !Write(fd_, line, kPatience)) ++lost_;
}

}  // namespace observability
