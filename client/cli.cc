#include "client/cli.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_line.h"
#include "client/commands.h"
#include "client/error_details.h"
#include "client/invocation.h"

namespace client {
namespace {

struct Command {
  std::string name;
  std::string arguments;
  std::string summary;
  std::string details;
  std::vector<Flag> flags;
  int (*run)(const Invocation&);
};

std::vector<Command> Commands() {
  const Flag address{"address", "HOST:PORT",
                     "where the orders server is (127.0.0.1:50051), or any other gRPC target"};
  const Flag admin{"admin", "HOST:PORT", "where the server listens for operators (no default)"};
  const Flag json{"json", "", "print JSON, one message on each line"};
  const Flag timeout{"timeout", "TIME", "how long to wait for the answer (10s)"};
  const Flag patience{"timeout", "TIME", "how long to look for a server that is away (no limit)"};
  const Flag count{"count", "N", "end after so many"};
  return {
      {"place",
       "--customer=NAME SKU=QUANTITY...",
       "place an order",
       "  client place --customer=ann apple=2 pear=1\n"
       "\n"
       "With a --request-id the same command can be run again: the order is stored once.\n",
       {{"customer", "NAME", "who orders"},
        {"request-id", "ID", "what the order goes by when it is sent again (a new UUID)"},
        address,
        timeout,
        json},
       Place},
      {"get", "ID", "show one order", "", {address, timeout, json}, Get},
      {"list", "", "show all orders, oldest first", "", {count, address, timeout, json}, List},
      {"watch",
       "",
       "print each change of any order",
       "Prints changes as they happen, until Ctrl-C. Goes on by itself when the server\n"
       "restarts; each change is printed once. At the end it says on stderr from where a later\n"
       "watch goes on.\n",
       {{"from", "start|TOKEN", "begin with the first change there is, or behind TOKEN (now)"},
        count,
        address,
        patience,
        json},
       Watch},
      {"import",
       "FILE",
       "place many orders",
       "FILE has one order on each line; - is stdin:\n"
       "\n"
       "  {\"customer\": \"ann\", \"items\": [{\"sku\": \"apple\", \"quantity\": 2}]}\n"
       "\n"
       "Every line is read before the first order is sent. Ends at the first order that is\n"
       "refused. The same file with the same --batch can be imported again: no order is stored\n"
       "twice. An order may have a \"request_id\" of its own instead.\n",
       {{"batch", "NAME", "what the orders go by when they are sent again (a new UUID)"},
        address,
        {"timeout", "TIME", "how long to look for a server that is away (1m)"},
        json},
       Import},
      {"track",
       "ID...",
       "print some orders and their changes",
       "Prints changes as they happen, until Ctrl-C. Goes on by itself when the server\n"
       "restarts.\n",
       {count, address, patience, json},
       Track},
      {"stock",
       "[SKU...]",
       "show what the inventory has",
       "",
       {{"inventory", "HOST:PORT",
         "where the inventory server is (127.0.0.1:50052), or any other gRPC target"},
        timeout,
        json},
       Stock},
      {"drain",
       "--admin=HOST:PORT",
       "lead the callers away from a server",
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
       "FILE is what --drain_report wrote, or the server's log; - is stdin. Of each phase and\n"
       "closer: '=' is what it took, '.' what was left of its budget, '#' where something was\n"
       "cut off, failed or hung.\n",
       {{"svg", "FILE", "write an image there instead"}},
       Report},
  };
}

std::string Overview() {
  std::string text = "Places orders, shows them, follows them; drains servers.\n\n";
  for (const Command& command : Commands()) {
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
         "  4  Ctrl-C before an import was done\n";
}

std::string Help(const Command& command) {
  std::string text = absl::StrCat("client ", command.name, command.arguments.empty() ? "" : " ",
                                  command.arguments, ": ", command.summary, "\n\n");
  if (!command.details.empty()) absl::StrAppend(&text, command.details, "\n");
  return text + FlagsHelp(command.flags);
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const Terminal& terminal) {
  const auto is = [](const std::string& word, std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), word) != names.end();
  };
  if (arguments.empty()) {
    terminal.err << Overview();
    return kUsage;
  }
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  std::string name = arguments[0];
  bool help = is(name, {"help", "--help", "-h"});
  if (help && rest.empty()) {
    terminal.out << Overview();
    return kDone;
  }
  if (help) {
    name = rest[0];
  } else {
    help = std::any_of(rest.begin(), rest.end(), [&](const std::string& word) {
      return is(word, {"--help", "-h"});
    });
  }
  for (const Command& command : Commands()) {
    if (command.name != name) continue;
    if (help) {
      terminal.out << Help(command);
      return kDone;
    }
    Invocation run{name, {}, terminal};
    auto line = ParseCommandLine(rest, command.flags);
    if (!line.ok()) return run.UsageError(line.status());
    run.line = *std::move(line);
    return command.run(run);
  }
  terminal.err << OneLine("client: there is no command " + name + " (see: client help)") << "\n";
  return kUsage;
}

}  // namespace client
