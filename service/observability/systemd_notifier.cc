#include "service/observability/systemd_notifier.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stop_token>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/process.h"
#include "service/observability/printable.h"

namespace observability {
namespace {

using lifecycle::Clock;
using lifecycle::EventType;
using lifecycle::Phase;
using std::chrono::microseconds;

constexpr char kReady[] = "READY=1";
constexpr char kStopping[] = "STOPPING=1";
// Before anything that was dropped is sent again, and before a process that is not alive is looked
// at again.
constexpr Clock::Duration kAgain = std::chrono::milliseconds(100);
// How much longer a phase may take than its budget says: for the machine, not for us.
constexpr Clock::Duration kMargin = std::chrono::seconds(1);

// systemd ignores a message of more than 4,096 bytes, and nobody reads a status of half as many.
constexpr std::size_t kMostBytes = 2000;

std::string Take(const char* variable) {
  const char* const value = std::getenv(variable);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(variable);
  return taken;
}

std::int64_t NumberOr(const std::string& text, std::int64_t otherwise) {
  std::int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : otherwise;
}

}  // namespace

std::unique_ptr<SystemdNotifier> SystemdNotifier::FromEnvironment(Options options) {
  const std::string socket = Take("NOTIFY_SOCKET");
  const std::int64_t watchdog = NumberOr(Take("WATCHDOG_USEC"), 0);
  const bool watched = NumberOr(Take("WATCHDOG_PID"), getpid()) == getpid() && watchdog > 0;
  const bool known = socket.size() > 1 && socket.size() < sizeof(sockaddr_un::sun_path) &&
                     (socket.front() == '/' || socket.front() == '@');
  if (!known) return nullptr;
  return std::make_unique<SystemdNotifier>(
      socket, watched ? Clock::Duration(microseconds(watchdog)) : Clock::Duration::zero(), options);
}

SystemdNotifier::SystemdNotifier(const std::string& socket_name, Clock::Duration watchdog,
                                 Options options)
    : options_(options),
      watchdog_(watchdog),
      fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  address_.sun_family = AF_UNIX;
  std::memcpy(address_.sun_path, socket_name.data(),
              std::min(socket_name.size(), sizeof address_.sun_path - 1));
  if (address_.sun_path[0] == '@') address_.sun_path[0] = '\0';
  address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name.size());
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

SystemdNotifier::~SystemdNotifier() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  if (fd_ >= 0) close(fd_);
}

void SystemdNotifier::OnProcess(const lifecycle::Process* process) {
  std::lock_guard lock(mutex_);
  process_ = process;
}

void SystemdNotifier::OnEvent(const lifecycle::Event& event) {
  switch (event.type) {
    case EventType::kServing:
      return Announce(kReady, ready_unsent_);
    case EventType::kShutdownRequested:
      stopping_ = true;
      return Announce(kStopping, stopping_unsent_);
    case EventType::kDrained:
      return SendStatus("drained by an operator; serves nobody until it is restarted");
    default:
      return;
  }
}

void SystemdNotifier::OnPhase(Phase phase, Clock::TimePoint at,
                              std::optional<Clock::Duration> budget) {
  phase_ = phase;
  phase_ends_ = budget ? at + *budget : Clock::TimePoint::max();
  SendStatus("");
  if (budget) ExtendTimeout(*budget);
}

void SystemdNotifier::OnPhaseLimit(Clock::TimePoint at, Clock::Duration left) {
  phase_ends_ = at + left;
  SendStatus("");
  ExtendTimeout(left);
}

void SystemdNotifier::OnEnd(const lifecycle::End& end) {
  Send(absl::StrCat("STATUS=ended with exit code ", static_cast<int>(end.exit_code),
                    end.why.empty() ? "" : ": ", Printable(end.why)));
}

void SystemdNotifier::Run(const std::stop_token& stop) {
  Clock::TimePoint next_ping =
      watchdog_ > Clock::Duration::zero() ? Clock::TimePoint::min() : Clock::TimePoint::max();
  Clock::TimePoint next_status = Clock::TimePoint::min();
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Clock::TimePoint now = Clock::Steady().Now();
    if (ready_unsent_ && !stopping_) {
      Announce(kReady, ready_unsent_);
      if (stopping_) stopping_unsent_ = true;  // Once more: it is the last word.
    }
    if (stopping_unsent_) Announce(kStopping, stopping_unsent_);
    if (extension_unsent_.exchange(false)) {  // Before the end is read: a newer one is not missed.
      const Clock::TimePoint ends = phase_ends_;
      if (ends != Clock::TimePoint::max()) ExtendTimeout(ends - now);
    }
    if (now >= next_ping) {
      const bool alive = process_ == nullptr || process_->Alive();
      const bool sent = alive && Send("WATCHDOG=1");
      next_ping = now + (sent ? watchdog_ / 2 : std::min(kAgain, watchdog_ / 2));
    }
    if (stopping_ && now >= next_status) {
      if (process_ != nullptr) SendStatus(process_->InFlight());
      next_status = now + options_.status_interval;
    }
    const bool busy = stopping_ || ready_unsent_ || stopping_unsent_;
    const Clock::TimePoint next =
        now + (busy ? std::min(kAgain, options_.status_interval) : options_.status_interval);
    woken_.wait_until(lock, stop, std::min(next, next_ping), [] { return false; });
  }
}

void SystemdNotifier::SendStatus(const std::string& holds) {
  const Clock::TimePoint ends = phase_ends_;
  std::string status = absl::StrCat("STATUS=", lifecycle::PhaseName(phase_));
  if (ends != Clock::TimePoint::max()) {
    const std::chrono::duration<double> left =
        std::max(ends - Clock::Steady().Now(), Clock::Duration::zero());
    absl::StrAppend(&status, absl::StrFormat(", at most %.1fs more", left.count()));
  }
  if (!holds.empty()) absl::StrAppend(&status, ": ", Printable(holds));
  Send(status);
}

void SystemdNotifier::ExtendTimeout(Clock::Duration left) {
  if (!options_.extend_timeout || !stopping_) return;
  const auto extension =
      std::chrono::duration_cast<microseconds>(std::max(left, Clock::Duration::zero()) + kMargin);
  // Not cleared here: whoever has failed meanwhile is heard, and systemd never shortens a timeout.
  if (!Send(absl::StrCat("EXTEND_TIMEOUT_USEC=", extension.count()))) extension_unsent_ = true;
}

void SystemdNotifier::Announce(const char* message, std::atomic<bool>& unsent) {
  unsent = false;
  if (!Send(message)) unsent = true;
}

bool SystemdNotifier::Send(std::string message) {
  CutOff(message, kMostBytes);
  return sendto(fd_, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&address_), address_size_) >= 0;
}

}  // namespace observability
