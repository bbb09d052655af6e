#ifndef CLIENT_INVOCATION_H_
#define CLIENT_INVOCATION_H_

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/command_line.h"
#include "client/connection.h"
#include "client/terminal.h"
#include "google/protobuf/message.h"

namespace client {

// A reason (google.rpc.ErrorInfo) -> a sentence.
using Advice = std::map<std::string, std::string>;

// One run of one command, and what all commands say and answer in the same way.
struct Invocation {
  std::string command;
  CommandLine line;
  const Terminal& terminal;
  Advice advice = {};

  // What --timeout and the terminal say. `patience`: how long to look for a server
  // that is away from its streams, if --timeout does not say.
  absl::StatusOr<ClientOptions> Options(
      std::optional<std::chrono::milliseconds> patience = std::nullopt) const;

  // On stderr, in one line. All but the first return the exit code.
  void Say(const std::string& what) const;
  int Complain(ExitCode code, const std::string& what) const;
  int UsageError(const std::string& what) const;
  int UsageError(const absl::Status& status) const;
  // A call failed. `and_then`: what else to do when the same command may succeed.
  int Failed(const absl::Status& status, const std::string& and_then = "") const;

  // On stdout, in one line.
  void PrintJson(const google::protobuf::Message& message) const;
};

// kTryAgain or kRefused.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace client

#endif  // CLIENT_INVOCATION_H_
