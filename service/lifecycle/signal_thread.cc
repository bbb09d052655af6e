#include "service/lifecycle/signal_thread.h"

#include <signal.h>

#include <utility>

namespace lifecycle {
namespace {

// Lets the signal thread end; sent to that one thread only.
constexpr int kEnd = SIGUSR2;

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A peer that closes its end is an error of that one write, not of the process.
  signal(SIGPIPE, SIG_IGN);
}

void UnblockStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_DFL);
}

SignalMeaning::SignalMeaning(Clock& clock, StopRequest& request, std::function<void()> leave)
    : clock_(clock), request_(request), leave_(std::move(leave)) {}

void SignalMeaning::OnSignal(int signal) {
  if (signal == SIGTERM) {
    const Clock::TimePoint now = clock_.Now();
    if (last_term_ && now - *last_term_ < kRepeat) return;
    last_term_ = now;
  }
  switch (++count_) {
    case 1:
      request_.Request(signal == SIGTERM ? StopReason::kTerminate : StopReason::kInterrupt);
      break;
    case 2:
      request_.Hurry();
      break;
    default:
      leave_();
  }
}

SignalThread::SignalThread(SignalMeaning& meaning) {
  sigset_t set = StopSignals();
  sigaddset(&set, kEnd);
  // The thread inherits the mask: it must not be without it for a moment.
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  thread_ = std::thread([&meaning, set] {
    for (;;) {
      int signal = 0;
      if (sigwait(&set, &signal) != 0) continue;
      if (signal == kEnd) return;
      meaning.OnSignal(signal);
    }
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

SignalThread::~SignalThread() {
  pthread_kill(thread_.native_handle(), kEnd);
  thread_.join();
}

}  // namespace lifecycle
