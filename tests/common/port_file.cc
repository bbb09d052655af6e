#include "tests/common/port_file.h"

#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace testkit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{2};

// The file's first line, once it is whole.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  // Without its newline a line may be half of one.
  if (!std::getline(file, line) || file.eof()) return "";
  return line;
}

std::string Words(const Ending& ending) {
  std::ostringstream words;
  words << ending;
  return words.str();
}

}  // namespace

absl::StatusOr<std::string> AwaitPortFile(const std::string& path, ChildProcess& server,
                                          std::chrono::milliseconds limit,
                                          const std::function<bool()>& give_up) {
  const Clock::time_point deadline = Clock::now() + limit;
  for (;;) {
    const std::string address = FirstLine(path);
    if (!address.empty()) return address;
    // Also what keeps this from being a busy loop.
    const Ending ending = server.Wait(kLook);
    if (ending != Ending()) {
      return absl::FailedPreconditionError(absl::StrCat("the server ended (", Words(ending),
                                                        ") before it served: ", server.Output()));
    }
    if (give_up && give_up()) return absl::CancelledError("the server's start was given up");
    if (Clock::now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the server did not serve in ", limit.count(), " ms: ", server.Output()));
    }
  }
}

}  // namespace testkit
