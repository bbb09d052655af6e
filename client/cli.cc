#include "client/cli.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_line.h"
#include "client/error_details.h"
#include "client/invocation.h"
#include "client/output.h"
#include "client/plain_text.h"

namespace client {
namespace {

std::string Overview(const std::vector<Command>& commands) {
  std::string text = "What can be asked of the servers:\n\n";
  for (const Command& command : commands) {
    absl::StrAppendFormat(&text, "  client %-38s %s\n", command.name + " " + command.arguments,
                          command.summary);
  }
  absl::StrAppendFormat(&text, "  client %-38s %s\n", "help [COMMAND]",
                        "show this, or a command's flags");
  return text +
         "\n"
         "Exit codes:\n"
         "  0  done\n"
         "  1  the command line, or a file that it names, is wrong; nothing was sent\n"
         "  2  the server refused; the same command would fail again\n"
         "  3  no answer, or the server could not do it now; the same command may succeed\n"
         "  4  Ctrl-C before all was done, in a command that says how to go on; it kills others\n"
         "  5  the output could not be written: a full disk, or a pipe that nobody reads\n";
}

std::string Help(const Command& command) {
  std::string text = absl::StrCat("client ", command.name, command.arguments.empty() ? "" : " ",
                                  command.arguments, ": ", command.summary, "\n\n");
  if (!command.details.empty()) absl::StrAppend(&text, command.details, "\n");
  return text + FlagsHelp(command.flags);
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const std::vector<Command>& commands,
        const Terminal& terminal) {
  const auto is = [](const std::string& word, std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), word) != names.end();
  };
  if (arguments.empty()) {
    terminal.err << Overview(commands);
    return kUsage;
  }
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  std::string name = arguments[0];
  bool help = is(name, {"help", "--help", "-h"});
  Output output(terminal.out);
  Invocation run{name, {}, terminal, output};
  // What no command has said of its output itself.
  const auto end = [&run](int code) {
    return code == kDone && run.output.failed() ? run.OutputLost() : code;
  };
  if (help && rest.empty()) {
    output.Print(Overview(commands));
    return end(kDone);
  }
  if (help) {
    name = rest[0];
  } else {
    help = std::any_of(rest.begin(), rest.end(), [&](const std::string& word) {
      return is(word, {"--help", "-h"});
    });
  }
  for (const Command& command : commands) {
    if (command.name != name) continue;
    if (help) {
      output.Print(Help(command));
      return end(kDone);
    }
    run.command = name;
    run.advice = command.advice;
    auto line = ParseCommandLine(rest, command.flags);
    if (!line.ok()) return run.UsageError(line.status());
    run.line = *std::move(line);
    return end(command.run(run));
  }
  terminal.err << OneLine("client: there is no command " + name + " (see: client help)") << "\n";
  return kUsage;
}

}  // namespace client
