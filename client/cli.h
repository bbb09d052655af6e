#ifndef CLIENT_CLI_H_
#define CLIENT_CLI_H_

#include <string>
#include <vector>

#include "client/command.h"
#include "client/terminal.h"

namespace client {

// Runs the whole program: `arguments` are those after its name on the command line. Returns the
// ExitCode.
int Run(const std::vector<std::string>& arguments, const std::vector<Command>& commands,
        const Terminal& terminal);

}  // namespace client

#endif  // CLIENT_CLI_H_
