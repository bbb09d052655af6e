#include "service/observability/stderr_sink.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "service/lifecycle/write_without_blocking.h"

namespace observability {
namespace {

constexpr std::chrono::milliseconds kPatience(100);

}  // namespace

void StderrSink::sink_it_(const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter_->format(message, line);
  if (lost_ > 0 &&
      Write(absl::StrCat(half_line_ ? "\n" : "", "(", lost_, " lines lost: nobody read them)\n"),
            {})) {
    lost_ = 0;
  }
  if (lost_ > 0 || !Write({line.data(), line.size()}, kPatience)) ++lost_;
}

bool StderrSink::Write(std::string_view text, std::chrono::milliseconds patience) {
  const std::size_t written = lifecycle::WriteWithoutBlocking(fd_, text, patience);
  if (written > 0) half_line_ = written < text.size();
  return written == text.size();
}

}  // namespace observability
