#ifndef TESTS_COMMON_CHILD_PROCESS_H_
#define TESTS_COMMON_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace testkit {

// How a process ended, or that it has not.
struct Ending {
  enum class How { kRuns, kExited, kKilled };

  static Ending Exited(int code) { return {How::kExited, code}; }
  static Ending Killed(int signal) { return {How::kKilled, signal}; }

  How how = How::kRuns;
  // The exit code, or the signal.
  int number = 0;

  bool operator==(const Ending&) const = default;
};

// "exit code 3", "signal 9 (Killed)", "still runs".
std::ostream& operator<<(std::ostream& out, const Ending& ending);

// A real program in a process of its own: started, signalled, waited for, and never
// left behind.
//
// The problem: a child inherits what its parent has arranged for itself (blocked
// and ignored signals, open sockets, the terminal's Ctrl-C), blocks when nobody
// reads its output, and outlives a test that fails. So a child starts with no
// signal blocked or ignored, in a process group of its own, with an empty stdin
// and no file but stdin, stdout and stderr; what it writes goes to memory that
// never fills; and it is killed with this object, and by the kernel should the
// parent die.
//
// Every wait has a limit. Nothing but this one process is ever signalled.
//
// Threads: one at a time. The kernel takes the thread that made the object for the
// parent: the child is killed when that thread ends.
class ChildProcess {
 public:
  using Environment = std::map<std::string, std::string>;

  // Runs `command`: a program's path, then its arguments. `environment` is added to
  // the parent's own.
  //
  // A program that cannot be started counts as one that ended at once with exit
  // code 127, having written why.
  explicit ChildProcess(std::vector<std::string> command, Environment environment = {});
  // Kills the child if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // What the kernel calls it; somebody else may have the number once the child has
  // ended.
  pid_t pid() const { return pid_; }

  // Sends a signal. Does nothing when the child has ended.
  void Signal(int signal);

  // Waits until the child has ended, at most for `limit`. Called again: the same
  // answer at once.
  Ending Wait(std::chrono::milliseconds limit);

  // What the child has written to stdout and stderr so far, in the order in which
  // it was written. `from`: leaves out so many bytes at the beginning.
  std::string Output(std::size_t from = 0) const;

  // Waits until the output has `text` in it. False: the child ended without, or
  // `limit` was over first.
  bool AwaitOutput(const std::string& text, std::chrono::milliseconds limit);

 private:
  const int output_;  // A file without a name.
  pid_t pid_ = -1;
  int pidfd_ = -1;
  Ending ending_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_CHILD_PROCESS_H_
