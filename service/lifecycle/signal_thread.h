#ifndef SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
#define SERVICE_LIFECYCLE_SIGNAL_THREAD_H_

#include <functional>
#include <optional>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/stop_request.h"

namespace lifecycle {

// Blocks SIGTERM and SIGINT in the calling thread, and so in every thread that it
// starts from now on, and ignores SIGPIPE.
//
// Requires: called first in main(), before any other thread exists; gRPC starts
// threads as soon as it is touched, and a single thread that does not block the
// signal lets it kill the process in the middle of the drain.
//
// Child processes inherit the mask: call UnblockStopSignals() between fork and
// exec.
void BlockStopSignals();
void UnblockStopSignals();

// What a signal means, by how many came before it. Apart from the thread so that
// it can be tested without a signal.
//
// The first asks for the stop. The second makes it hurry. The third leaves at
// once. A SIGTERM within kRepeat of one that counted is the platform saying the
// same thing twice (systemd and container runtimes do), and counts for nothing.
//
// Threads: one.
class SignalMeaning {
 public:
  static constexpr Clock::Duration kRepeat = std::chrono::seconds(1);

  // `leave` is called at the third signal; in production it does not return.
  SignalMeaning(Clock& clock, StopRequest& request, std::function<void()> leave);

  void OnSignal(int signal);

 private:
  Clock& clock_;
  StopRequest& request_;
  const std::function<void()> leave_;
  int count_ = 0;
  std::optional<Clock::TimePoint> last_term_;  // The last that counted.
};

// The thread that takes the signals, for as long as it lives.
//
// Requires: BlockStopSignals() was called; one at a time in a process.
// Lifetime: `meaning` outlives it. The destructor joins.
class SignalThread {
 public:
  explicit SignalThread(SignalMeaning& meaning);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::thread thread_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SIGNAL_THREAD_H_
