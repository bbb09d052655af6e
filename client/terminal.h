#ifndef CLIENT_TERMINAL_H_
#define CLIENT_TERMINAL_H_

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <stop_token>

#include "client/clock.h"

namespace client {

// The exit codes of the program; `client help` prints this table.
enum ExitCode : int {
  kDone = 0,
  // The command line, or a file that it names, is wrong. Nothing was sent.
  kUsage = 1,
  // The server refused. The same command would fail again.
  kRefused = 2,
  // There was no answer, or the server could not do it now. The same command may succeed later.
  kTryAgain = 3,
  // Ctrl-C before everything was done, in a command that says how to go on.
  kInterrupted = 4,
  // The output could not be written, in part or at all: a full disk, a pipe whose reader has gone.
  kOutputLost = 5,
};

// Erases the current line of a terminal.
inline constexpr char kEraseLine[] = "\r\x1b[K";

// The program's input and output, and its way of waiting.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  // Whether `err` is a terminal: then progress is shown there.
  bool err_is_terminal = false;
  // Called at most once, before any thread is started, by commands that Ctrl-C ends in an orderly
  // way. From then on Ctrl-C requests a stop on the returned token.
  std::function<std::stop_token()> stop_on_interrupt = [] { return std::stop_token(); };
  // Null: the machine's.
  std::shared_ptr<Clock> clock = nullptr;
};

}  // namespace client

#endif  // CLIENT_TERMINAL_H_
