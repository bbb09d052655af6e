#ifndef CLIENT_COMMANDS_H_
#define CLIENT_COMMANDS_H_

#include "client/invocation.h"

namespace client {

// The commands, one function each; `client help` says what they do. Each returns its
// ExitCode.
int Place(const Invocation& run);
int Get(const Invocation& run);
int List(const Invocation& run);
int Watch(const Invocation& run);
int Import(const Invocation& run);
int Track(const Invocation& run);
int Stock(const Invocation& run);
int Drain(const Invocation& run);
int Undrain(const Invocation& run);
int State(const Invocation& run);
int Report(const Invocation& run);

}  // namespace client

#endif  // CLIENT_COMMANDS_H_
