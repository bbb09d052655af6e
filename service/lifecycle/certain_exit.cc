#include "service/lifecycle/certain_exit.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

namespace lifecycle {
namespace {

std::atomic_flag called;
std::atomic<int> code_to_exit_with{0};

}  // namespace

void ExitAfter(Clock::Duration limit, ExitCode code) {
  if (called.test_and_set()) return;
  code_to_exit_with = static_cast<int>(code);
  struct sigaction end = {};
  end.sa_handler = [](int) { _exit(code_to_exit_with); };
  sigaction(SIGALRM, &end, nullptr);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  // A timer of no time would be none.
  const auto left = std::max<std::chrono::microseconds::rep>(
      std::chrono::duration_cast<std::chrono::microseconds>(limit).count(), 1);
  const itimerval timer = {{0, 0}, {left / 1'000'000, left % 1'000'000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace lifecycle
