#include "client/operator_commands.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/admin_client.h"
#include "client/command_line.h"
#include "client/error_details.h"
#include "client/invocation.h"
#include "client/read_all.h"
#include "client/shutdown_report.h"
#include "client/terminal.h"
#include "client/timeline_svg.h"
#include "client/timeline_text.h"

namespace client {
namespace {

absl::StatusOr<std::unique_ptr<AdminClient>> ConnectToAdmin(const Invocation& run) {
  if (!run.line.words.empty()) return absl::InvalidArgumentError("takes flags only");
  const std::string address = run.line.Get("admin");
  if (address.empty()) {
    return absl::InvalidArgumentError("which server? --admin=HOST:PORT, its --admin_address");
  }
  auto options = run.Options();
  if (!options.ok()) return options.status();
  return AdminClient::Create(address, *std::move(options));
}

bool PrintState(const Invocation& run, const admin::v1::State& state) {
  if (run.line.Has("json")) return run.PrintJson(state);
  std::string phase(admin::v1::Phase_Name(state.phase()));
  if (phase.starts_with("PHASE_")) phase = phase.substr(std::strlen("PHASE_"));
  std::string text =
      absl::StrFormat("%-20s  calls=%d  streams=%d  connections=%d  hinted=%d", phase,
                      state.calls(), state.streams(), state.connections(), state.hinted_calls());
  if (state.has_time_left()) absl::StrAppend(&text, "  left=", state.time_left().seconds(), "s");
  if (state.drained()) absl::StrAppend(&text, "  drained");
  return run.PrintLine(text);
}

int Drain(const Invocation& run) {
  const auto client = ConnectToAdmin(run);
  if (!client.ok()) return run.UsageError(client.status());
  std::optional<std::chrono::milliseconds> limit;
  if (run.line.Has("timeout")) limit = *ParseTime(run.line.Get("timeout"));
  bool drains = false;
  const absl::Status end = (*client)->Drain(
      [&](const admin::v1::State& state) {
        drains = true;
        return PrintState(run, state);
      },
      limit);
  const std::string shown = "`client state" + run.SameServer() + "` shows it";
  if (run.output.failed()) return run.OutputLost("The drain goes on: " + shown);
  if (drains && absl::IsDeadlineExceeded(end)) {
    return run.Complain(kTryAgain, "not yet drained; it goes on. " + shown);
  }
  if (drains && absl::IsUnavailable(end)) {
    return run.Complain(kTryAgain, "the connection is lost (" + Describe(end) +
                                       "); if the server lives, the drain goes on. " + shown);
  }
  return end.ok() ? int{kDone} : run.Failed(end);
}

// Asks once, and prints the state that is answered.
int Ask(const Invocation& run, absl::StatusOr<admin::v1::State> (AdminClient::*ask)()) {
  const auto client = ConnectToAdmin(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto state = ((**client).*ask)();
  if (!state.ok()) return run.Failed(state.status());
  PrintState(run, *state);
  return kDone;
}

int Undrain(const Invocation& run) { return Ask(run, &AdminClient::Undrain); }

int State(const Invocation& run) { return Ask(run, &AdminClient::GetState); }

// Writes in place, whatever is there; a pipe that nobody reads is not waited for. Returns the exit
// code.
int WriteImage(const Invocation& run, const std::string& name, std::string_view image) {
  const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0644);
  if (fd < 0) return run.UsageError(name + ": " + std::strerror(errno));
  int error = fcntl(fd, F_SETFL, 0) == 0 ? 0 : errno;  // Who reads it may take his time.
  while (error == 0 && !image.empty()) {
    const ssize_t size = write(fd, image.data(), image.size());
    if (size < 0 && errno != EINTR) error = errno;
    if (size > 0) image.remove_prefix(static_cast<std::size_t>(size));
  }
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return kDone;
  return run.Complain(kOutputLost, absl::StrCat("cannot write ", name, ": ", std::strerror(error)));
}

int Report(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which report? One FILE");
  const std::string& name = run.line.words[0];
  std::ifstream file;
  if (name != "-") file.open(name);
  if (!file) return run.UsageError(name + ": " + std::strerror(errno));
  std::string text;
  if (const int error = ReadAll(name == "-" ? run.terminal.in : file, text); error != 0) {
    return run.UsageError(name + ": " + std::strerror(error));
  }
  const auto report = ReadShutdownReport(text);
  if (!report.ok()) return run.UsageError(name + " " + std::string(report.status().message()));
  const Timeline timeline = TimelineOf(*report);
  if (!run.line.Has("svg")) {
    run.output.Print(TimelineText(timeline));
    return kDone;
  }
  return WriteImage(run, run.line.Get("svg"), TimelineSvg(timeline));
}

}  // namespace

std::vector<Command> OperatorCommands() {
  const Flag admin{"admin", "HOST:PORT", "where the server listens for operators (no default)"};
  const Flag json{"json", "", "print JSON, one message on each line"};
  const Flag timeout{"timeout", "TIME", "how long to wait for the answer (10s)"};
  std::vector<Command> commands = {
      {"drain",
       "--admin=HOST:PORT",
       "drain a server, which lives on",
       "Prints where the server stands until no caller is left. The server lives on without\n"
       "callers until it is stopped. While it is a LAME_DUCK, `client undrain` takes it back.\n"
       "Ctrl-C ends only the printing.\n",
       {admin, {"timeout", "TIME", "how long to wait for the end (no limit)"}, json},
       Drain},
      {"undrain", "--admin=HOST:PORT", "take a drain back", "", {admin, timeout, json}, Undrain},
      {"state",
       "--admin=HOST:PORT",
       "show where a server stands",
       "",
       {admin, timeout, json},
       State},
      {"report",
       "FILE",
       "draw what a server did when it stopped",
       "FILE is what --shutdown_report wrote, or the server's log; - is stdin. Of each phase and\n"
       "closer: '=' is what it took, '.' what was left of its budget, '#' where something was\n"
       "cut off, failed or hung.\n",
       {{"svg", "FILE", "write an image there instead"}},
       Report},
  };
  for (Command& command : commands) {
    if (command.name == "report") continue;
    for (const Flag& flag : TlsFlags()) command.flags.push_back(flag);
  }
  return commands;
}

}  // namespace client
