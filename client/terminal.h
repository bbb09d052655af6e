#ifndef CLIENT_TERMINAL_H_
#define CLIENT_TERMINAL_H_

#include <functional>
#include <istream>
#include <memory>
#include <ostream>
#include <stop_token>

#include "client/clock.h"

namespace client {

// What the program tells its caller; `client help` prints this table.
enum ExitCode : int {
  kDone = 0,
  // The command line, or a file that it names, is wrong. Nothing was sent.
  kUsage = 1,
  // The server refused. The same command would fail again.
  kRefused = 2,
  // No answer, or the server could not do it now. The same command may succeed.
  kTryAgain = 3,
  // Ctrl-C before all was done.
  kInterrupted = 4,
};

// Takes away what stands on the terminal's line.
inline constexpr char kEraseLine[] = "\r\x1b[K";

// What the program talks to, and where it waits.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  // Whether a person looks at `err`: shows progress there.
  bool err_is_terminal = false;
  // Called at most once, by commands that Ctrl-C ends in an orderly way, before any
  // thread is started. From then on Ctrl-C requests a shutdown of the answer.
  std::function<std::stop_token()> stop_on_interrupt = [] { return std::stop_token(); };
  // Null: the machine's.
  std::shared_ptr<Clock> clock = nullptr;
};

}  // namespace client

#endif  // CLIENT_TERMINAL_H_
