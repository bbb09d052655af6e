#ifndef CLIENT_INVOCATION_H_
#define CLIENT_INVOCATION_H_

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/command_line.h"
#include "client/connection.h"
#include "client/output.h"
#include "client/terminal.h"
#include "google/protobuf/message.h"

namespace client {

// A reason (google.rpc.ErrorInfo) -> a sentence.
using Advice = std::map<std::string, std::string>;

// One run of one command, with the output and errors that all commands have in common.
struct Invocation {
  std::string command;
  CommandLine line;
  const Terminal& terminal;
  Output& output;
  Advice advice = {};

  // The options according to --timeout, the --tls... flags and the terminal. `patience`: how long streams look for a
  // server that is away, unless --timeout says.
  absl::StatusOr<ClientOptions> Options(
      std::optional<std::chrono::milliseconds> patience = std::nullopt) const;

  // These print one line on stderr. All but the first two return the exit code.
  void Say(const std::string& what) const;
  // While a progress bar may be there, which is drawn again.
  void Interject(const std::string& what) const;
  int Complain(ExitCode code, const std::string& what) const;
  int UsageError(const std::string& what) const;
  int UsageError(const absl::Status& status) const;
  // A call failed. `and_then`: what else to do when the same command may succeed.
  int Failed(const absl::Status& status, const std::string& and_then = "") const;

  // Prints one line on stdout, with every field of the message. False: it is lost (Output).
  bool PrintJson(const google::protobuf::Message& message) const;
  // The same of text that is no line yet, and may have come from a server.
  bool PrintLine(const std::string& text) const;
  // What to add to another command so that it asks the same server: " --address=orders:1 --tls".
  std::string SameServer() const;
  // The output is lost. `and_then`: what was done, and where to go on.
  int OutputLost(const std::string& and_then = "") const;
};

// The flags of a command that calls a server in a way that Options() understands.
std::vector<Flag> TlsFlags();

// kTryAgain when the same call may succeed later, also if it is open whether the server has done it
// (Retry::MayCure(), DEADLINE_EXCEEDED); otherwise kRefused.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace client

#endif  // CLIENT_INVOCATION_H_
