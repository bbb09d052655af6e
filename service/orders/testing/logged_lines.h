#ifndef SERVICE_ORDERS_TESTING_LOGGED_LINES_H_
#define SERVICE_ORDERS_TESTING_LOGGED_LINES_H_

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace orders {

// What is logged while it lives. One at a time.
class LoggedLines {
 public:
  LoggedLines() {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(lines_);
    sink->set_pattern("%v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::move(sink)));
  }
  ~LoggedLines() { spdlog::set_default_logger(before_); }
  LoggedLines(const LoggedLines&) = delete;
  LoggedLines& operator=(const LoggedLines&) = delete;

  // Requires: nobody logs now.
  std::vector<std::string> Get() const {
    return absl::StrSplit(lines_.str(), '\n', absl::SkipEmpty());
  }

 private:
  const std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::ostringstream lines_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_LOGGED_LINES_H_
