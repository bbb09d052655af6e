#include "service/lifecycle/signal_thread.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/standard_streams.h"
#include "service/lifecycle/last_resort/thread_stacks.h"
#include "service/lifecycle/last_resort/unplanned_end.h"

namespace lifecycle {
namespace {

sigset_t SetOf(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

bool Has(int signal, void (*handler)(int)) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
         action.sa_handler == handler;
}

// The signals with a meaning; SIGHUP and SIGQUIT only if the program does not use them.
sigset_t ShutdownSignals() {
  sigset_t set = SetOf({SIGTERM, SIGINT});
  if (Has(SIGHUP, SIG_DFL)) sigaddset(&set, SIGHUP);
  if (Has(SIGQUIT, SIG_DFL) || Has(SIGQUIT, SIG_IGN)) sigaddset(&set, SIGQUIT);
  return set;
}

// Calls `do_this` with each signal that kills by default, has no meaning here, and does not
// report a crash.
template <typename Do>
void ForEachToIgnore(Do do_this) {
  for (const int signal : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR,
                           SIGSTKFLT, SIGXCPU, SIGXFSZ}) {
    do_this(signal);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) do_this(signal);
}

// Never destroyed; the threads run until the process ends, too.
struct Signals {
  std::mutex acting;                                  // Held while the signal thread acts.
  std::mutex showing;                                 // Held while the other thread shows.
  std::function<void(SignalMeaning)> act;             // Changed with both held.
  std::optional<SignalCount> count{Clock::Steady()};  // Guarded by acting.
  bool had_listener = false;                          // Guarded by acting.
  std::atomic<int> wanted = 0;                        // How often a SIGQUIT has come.

  void Act(SignalMeaning meaning) {
    if (act != nullptr) return act(meaning);
    if (meaning == SignalMeaning::kLeave) {
      WriteLastWords({"third signal: leaving at once"});
      _exit(static_cast<int>(ExitCode::kThirdSignal));
    } else if (!had_listener && meaning != SignalMeaning::kNothing) {
      WriteLastWords({"stopped before anything was opened; exit code 0"});
      _exit(static_cast<int>(ExitCode::kClean));
    }
  }

  void Show() {
    std::lock_guard lock(showing);
    if (act != nullptr) return act(SignalMeaning::kShow);
    WriteThreadStacks(STDERR_FILENO, std::chrono::seconds(1));
  }
};

Signals& TheSignals() {
  static Signals& signals = *new Signals;
  return signals;
}

bool IsPending(int signal) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, signal) == 1;
}

[[noreturn]] void TakeSignals(sigset_t set) {
  Signals& signals = TheSignals();
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    // Of those that are pending it gives the lowest number. A SIGHUP beside a SIGTERM
    // (SendSIGHUP=) only repeats that.
    if (signal == SIGHUP && IsPending(SIGTERM)) continue;
    std::lock_guard lock(signals.acting);
    const SignalMeaning meaning = signals.count->Next(signal);
    if (meaning == SignalMeaning::kShow) {
      ++signals.wanted;
      signals.wanted.notify_one();
    } else {
      signals.Act(meaning);
    }
  }
}

[[noreturn]] void ShowWhenWanted() {
  Signals& signals = TheSignals();
  for (int shown = 0;;) {
    signals.wanted.wait(shown);
    shown = signals.wanted;
    signals.Show();
  }
}

}  // namespace

void BlockShutdownSignals() {
  OpenStandardStreams();
  static pid_t done_in = 0;
  ForEachToIgnore([](int each) {
    if (Has(each, SIG_DFL)) signal(each, SIG_IGN);
  });
  const sigset_t set = ShutdownSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  if (std::exchange(done_in, getpid()) == getpid()) return;
  UnplannedEnd::Install();
  PrepareThreadStacks();
  try {
    std::thread(ShowWhenWanted).detach();
    std::thread([set] { TakeSignals(set); }).detach();
  } catch (const std::system_error& none) {
    WriteLastWords({"could not start: no thread for signals: ", none.what()});
    _exit(static_cast<int>(ExitCode::kCouldNotStart));
  }
}

void UnblockShutdownSignals() {
  const sigset_t set = SetOf({SIGTERM, SIGINT, SIGHUP, SIGQUIT});
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  ForEachToIgnore([](int each) {
    if (Has(each, SIG_IGN)) signal(each, SIG_DFL);
  });
}

SignalMeaning SignalCount::Next(int signal) {
  if (signal == SIGQUIT) return SignalMeaning::kShow;
  if (signal == SIGTERM || signal == SIGHUP) {
    const Clock::TimePoint now = clock_.Now();
    if (last_from_platform_ && now - *last_from_platform_ < kRepeat) return SignalMeaning::kNothing;
    last_from_platform_ = now;
  }
  switch (++count_) {
    case 1:
      return signal == SIGTERM ? SignalMeaning::kTerminate : SignalMeaning::kInterrupt;
    case 2:
      return SignalMeaning::kExpedite;
    default:
      return SignalMeaning::kLeave;
  }
}

SignalListener::SignalListener(std::function<void(SignalMeaning)> act) {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  Require(sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGINT) == 1,
          "a lifecycle::Process without BlockShutdownSignals() in the first line of main()");
  Signals& signals = TheSignals();
  std::scoped_lock lock(signals.acting, signals.showing);
  signals.count.emplace(Clock::Steady());
  signals.act = std::move(act);
  signals.had_listener = true;
}

SignalListener::~SignalListener() {
  Signals& signals = TheSignals();
  std::scoped_lock lock(signals.acting, signals.showing);
  signals.act = nullptr;
}

}  // namespace lifecycle
