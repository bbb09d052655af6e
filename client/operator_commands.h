#ifndef CLIENT_OPERATOR_COMMANDS_H_
#define CLIENT_OPERATOR_COMMANDS_H_

#include <vector>

#include "client/command.h"

namespace client {

// The commands for operators of any server: drain, undrain, state, report.
std::vector<Command> OperatorCommands();

}  // namespace client

#endif  // CLIENT_OPERATOR_COMMANDS_H_
