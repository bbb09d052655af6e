#ifndef TESTS_COMMON_CHILD_PROCESS_H_
#define TESTS_COMMON_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <initializer_list>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace testkit {

// How a process ended, or that it still runs.
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

// Runs a real program in a child process: starts it, signals it, waits for it, and never leaves it
// behind.
//
// The problem: a child inherits what its parent has arranged for itself (blocked and ignored
// signals, open sockets, the terminal's Ctrl-C), blocks when nobody reads its output, and outlives
// a test that fails. So a child starts with no signal blocked or ignored, in its own process group,
// with an empty stdin and no descriptor but stdin, stdout, stderr and what it is passed; its output goes to memory
// that never fills; and it is killed with this object, or by the kernel if the parent dies.
//
// Every wait has a limit. Nothing but this one process is ever signalled.
//
// Threads: one at a time. The kernel regards the thread that created the object as the parent: the
// child is killed when that thread ends.
class ChildProcess {
 public:
  using Environment = std::map<std::string, std::string>;

  // Runs `command`: a program's path, then its arguments. `environment` is added to the parent's
  // own. `passed`: become its descriptors 3, 4, ...; they stay open here.
  //
  // A program that cannot be started counts as one that ended at once with exit code 127, having
  // written why.
  explicit ChildProcess(std::vector<std::string> command, Environment environment = {},
                        const std::vector<int>& passed = {});
  // Kills the child if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The process id; it may belong to another process once the child has ended.
  pid_t pid() const { return pid_; }

  // Sends a signal. Does nothing when the child has ended.
  void Signal(int signal);

  // Sends several, all different: the kernel would make one of two that are the same. The child takes
  // the first when all are there, however slow this process is.
  void SignalAtOnce(std::initializer_list<int> signals);

  // Waits until the child has ended, at most for `limit`. Further calls return the same result at
  // once.
  Ending Wait(std::chrono::milliseconds limit);

  // What the child has written to stdout and stderr so far, in order. `from`: skips this many bytes
  // at the beginning.
  std::string Output(std::size_t from = 0) const;

  // Waits until the output contains `text`. False: the child ended without it, or `limit` passed
  // first.
  bool AwaitOutput(const std::string& text, std::chrono::milliseconds limit);

 private:
  const int output_;  // A file without a name.
  pid_t pid_ = -1;
  int pidfd_ = -1;
  Ending ending_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_CHILD_PROCESS_H_
