#ifndef CLIENT_COMMAND_H_
#define CLIENT_COMMAND_H_

#include <string>
#include <vector>

#include "client/command_line.h"
#include "client/invocation.h"

namespace client {

// One command of the program: its text in `client help`, and the function that runs it.
struct Command {
  std::string name;
  std::string arguments;
  std::string summary;
  std::string details;
  std::vector<Flag> flags;
  // Returns the ExitCode.
  int (*run)(const Invocation&);
  // What a person can do when the server refused, by the server's reason.
  Advice advice = {};
};

}  // namespace client

#endif  // CLIENT_COMMAND_H_
