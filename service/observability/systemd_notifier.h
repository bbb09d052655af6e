#ifndef SERVICE_OBSERVABILITY_SYSTEMD_NOTIFIER_H_
#define SERVICE_OBSERVABILITY_SYSTEMD_NOTIFIER_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"

namespace observability {

// Tells systemd how the process is doing, as a unit of Type=notify expects it (sd_notify(3)):
//
//   READY=1               callers are let in
//   STOPPING=1            a shutdown was requested; a manual drain is none
//   STATUS=               the phase; in a shutdown, every second what holds it and how long it may last
//   WATCHDOG=1            twice per WatchdogSec=, as long as the process is alive (Process::Alive())
//   EXTEND_TIMEOUT_USEC=  if wanted, with each phase of a shutdown, for as long as that may last; also
//                         with the one that is running when a drained server is stopped
//
// Guarantees: nothing waits for systemd. What it cannot take at the moment is sent again, with the
// time that is left by then; only a STATUS is dropped. A long STATUS is cut, since systemd ignores
// messages above 4 KiB.
//
// Threads: as for Observer; no call takes a lock but OnProcess().
class SystemdNotifier final : public lifecycle::Observer {
 public:
  struct Options {
    // Ask for the time that each phase of a shutdown may take, whatever TimeoutStopSec= says.
    bool extend_timeout = false;
    // How often the status is refreshed during a shutdown.
    lifecycle::Clock::Duration status_interval = std::chrono::seconds(1);
  };

  // For what NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; null if systemd expects nothing, or
  // if its socket is of a kind that this class does not know. Unsets them, because children have
  // nothing to say. Throws std::system_error when a thread cannot be created.
  static std::unique_ptr<SystemdNotifier> FromEnvironment(Options options);

  // `socket`: a path, or "@" and an abstract name, short enough for an address. `watchdog`: what
  // systemd waits for a sign of life; zero: for ever.
  SystemdNotifier(const std::string& socket, lifecycle::Clock::Duration watchdog, Options options);
  ~SystemdNotifier() override;

  void OnProcess(const lifecycle::Process* process) override;
  void OnEvent(const lifecycle::Event& event) override;
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget) override;
  void OnPhaseLimit(lifecycle::Clock::TimePoint at, lifecycle::Clock::Duration left) override;
  void OnEnd(const lifecycle::End& end) override;

 private:
  void Run(const std::stop_token& stop);
  void SendStatus(const std::string& holds);
  void ExtendTimeout(lifecycle::Clock::Duration left);
  // A message that must arrive.
  void Announce(const char* message, std::atomic<bool>& unsent);
  bool Send(std::string message);

  const Options options_;
  const lifecycle::Clock::Duration watchdog_;
  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  const int fd_;

  std::atomic<lifecycle::Phase> phase_{lifecycle::Phase::kStarting};
  std::atomic<lifecycle::Clock::TimePoint> phase_ends_{lifecycle::Clock::TimePoint::max()};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ready_unsent_{false};
  std::atomic<bool> stopping_unsent_{false};
  std::atomic<bool> extension_unsent_{false};
  std::mutex mutex_;
  std::condition_variable_any woken_;            // Only by the end.
  const lifecycle::Process* process_ = nullptr;  // Guarded by mutex_.
  std::jthread thread_;                          // Stopped and joined first.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_SYSTEMD_NOTIFIER_H_
