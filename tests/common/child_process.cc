#include "tests/common/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace testkit {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How often the output is looked at: a file tells nobody that it has grown.
constexpr milliseconds kLook{2};

// A machine that has no descriptor or process left: no test could go on.
int OrDie(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  abort();
}

std::vector<std::string> Merged(const ChildProcess::Environment& added) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : added) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec, where another thread's lock may be held for ever: only
// what may be called in a signal handler.
[[noreturn]] void Become(char* const* command, char* const* environment, int output, pid_t parent,
                         const std::vector<int>& passed) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // It died before prctl() could notice.

  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &by_default, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);

  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (int next = STDERR_FILENO + 1; const int fd : passed) dup2(fd, next++);

  execve(command[0], command, environment);
  for (const char* word :
       {"cannot start ", const_cast<const char*>(command[0]), ": ", strerrordesc_np(errno), "\n"}) {
    if (write(STDERR_FILENO, word, strlen(word)) < 0) break;
  }
  _exit(127);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Ending& ending) {
  switch (ending.how) {
    case Ending::How::kRuns:
      return out << "still runs";
    case Ending::How::kExited:
      return out << "exit code " << ending.number;
    case Ending::How::kKilled:
      return out << "signal " << ending.number << " (" << strsignal(ending.number) << ")";
  }
  return out;
}

ChildProcess::ChildProcess(std::vector<std::string> command, Environment environment,
                           const std::vector<int>& passed)
    : output_(OrDie(memfd_create("output", MFD_CLOEXEC), "memfd_create")) {
  // Or the kernel lets two who write at once write over each other.
  OrDie(fcntl(output_, F_SETFL, O_APPEND), "fcntl");
  std::vector<std::string> merged = Merged(environment);
  const std::vector<char*> argv = Pointers(command);
  const std::vector<char*> envp = Pointers(merged);
  const pid_t parent = getpid();
  // Out of the way of the numbers that they get.
  constexpr int kOutOfTheWay = 100;
  std::vector<int> duplicates;
  for (const int fd : passed) {
    duplicates.push_back(OrDie(fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay), "fcntl"));
  }

  // A handler of the parent's must not run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_ = fork();
  if (pid_ == 0) Become(argv.data(), envp.data(), output_, parent, duplicates);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  for (const int fd : duplicates) close(fd);
  OrDie(pid_, "fork");
  pidfd_ = OrDie(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)), "pidfd_open");
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  Wait(milliseconds::max());
  close(pidfd_);
  close(output_);
}

void ChildProcess::Signal(int signal) {
  // Not kill(): this never reaches another process that was given the number.
  if (ending_ == Ending()) syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0);
}

void ChildProcess::SignalAtOnce(std::initializer_list<int> signals) {
  Signal(SIGSTOP);
  for (const int signal : signals) Signal(signal);
  Signal(SIGCONT);
}

Ending ChildProcess::Wait(milliseconds limit) {
  if (ending_ != Ending()) return ending_;
  const Clock::time_point start = Clock::now();
  pollfd ended{pidfd_, POLLIN, 0};
  while (poll(&ended, 1, 0) <= 0) {
    const auto left = limit - std::chrono::duration_cast<milliseconds>(Clock::now() - start);
    if (left <= milliseconds::zero()) return ending_;
    constexpr milliseconds kLongest{60'000};
    poll(&ended, 1, static_cast<int>(std::min<milliseconds>(left, kLongest).count()));
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  ending_ =
      WIFEXITED(status) ? Ending::Exited(WEXITSTATUS(status)) : Ending::Killed(WTERMSIG(status));
  return ending_;
}

std::string ChildProcess::Output(std::size_t from) const {
  std::string output;
  char buffer[16384];
  for (;;) {
    const ssize_t count =
        pread(output_, buffer, sizeof buffer, static_cast<off_t>(from + output.size()));
    if (count <= 0) return output;
    output.append(buffer, static_cast<std::size_t>(count));
  }
}

bool ChildProcess::AwaitOutput(const std::string& text, milliseconds limit) {
  const Clock::time_point deadline = Clock::now() + limit;
  for (;;) {
    // Asked first: what the child wrote before it ended is then seen below.
    const bool last_look = Wait(kLook) != Ending() || Clock::now() >= deadline;
    if (Output().find(text) != std::string::npos) return true;
    if (last_look) return false;
  }
}

}  // namespace testkit
