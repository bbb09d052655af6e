#ifndef SERVICE_LIFECYCLE_EVENT_H_
#define SERVICE_LIFECYCLE_EVENT_H_

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

class Process;

// Everything that can happen to a process between its start and its end, as past facts, in the
// order of a shutdown (shutdown_sequence.h).
enum class EventType {
  kCouldNotStart,
  kServing,
  kManualDrainRequested,
  kShutdownRequested,
  kLameDuckEntered,
  kListenerClosed,
  kGoodbyeSaid,
  kDrained,
  kConnectionsGone,
  kConnectionsRemain,
  kNewCallsRefused,
  kCallsFinished,
  kCallsCut,
  kLateCallsCut,
  kServerStopped,
  kServerAbandoned,
  kWorkersStopped,
  kWorkerFailed,
  kStateSaved,
  kSaveFailed,
  kClosed,
  kCloseFailed,
  kStopped,
};

struct EventRow {
  EventType type;
  // The same word in logs, reports and tests.
  const char* name;
  // The phase in which it happens; a shutdown may be requested in any, and a worker may also fail in
  // kClosingResources.
  Phase phase;
  // The lowest exit code after this event. Anything but kClean marks a failure that a person should
  // look at.
  ExitCode exit_code = ExitCode::kClean;
};

inline constexpr EventRow kEvents[] = {
    {EventType::kCouldNotStart, "CouldNotStart", Phase::kStarting, ExitCode::kCouldNotStart},
    {EventType::kServing, "Serving", Phase::kServing},
    {EventType::kManualDrainRequested, "ManualDrainRequested", Phase::kServing},
    {EventType::kShutdownRequested, "ShutdownRequested", Phase::kServing},
    {EventType::kLameDuckEntered, "LameDuckEntered", Phase::kLameDuck},
    {EventType::kListenerClosed, "ListenerClosed", Phase::kDrainingConnections},
    {EventType::kGoodbyeSaid, "GoodbyeSaid", Phase::kDrainingConnections},
    {EventType::kDrained, "Drained", Phase::kDrainingConnections},
    {EventType::kConnectionsGone, "ConnectionsGone", Phase::kDrainingConnections},
    {EventType::kConnectionsRemain, "ConnectionsRemain", Phase::kDrainingConnections},
    {EventType::kNewCallsRefused, "NewCallsRefused", Phase::kDrainingCalls},
    {EventType::kCallsFinished, "CallsFinished", Phase::kDrainingCalls},
    {EventType::kCallsCut, "CallsCut", Phase::kDrainingCalls, ExitCode::kForced},
    {EventType::kLateCallsCut, "LateCallsCut", Phase::kCancellingCalls, ExitCode::kForced},
    {EventType::kServerStopped, "ServerStopped", Phase::kCancellingCalls},
    {EventType::kServerAbandoned, "ServerAbandoned", Phase::kCancellingCalls, ExitCode::kForced},
    {EventType::kWorkersStopped, "WorkersStopped", Phase::kStoppingWorkers},
    {EventType::kWorkerFailed, "WorkerFailed", Phase::kStoppingWorkers, ExitCode::kForced},
    {EventType::kStateSaved, "StateSaved", Phase::kSavingState},
    {EventType::kSaveFailed, "SaveFailed", Phase::kSavingState, ExitCode::kCloseFailed},
    {EventType::kClosed, "Closed", Phase::kClosingResources},
    {EventType::kCloseFailed, "CloseFailed", Phase::kClosingResources, ExitCode::kCloseFailed},
    {EventType::kStopped, "Stopped", Phase::kStopped},
};

constexpr const EventRow& RowOf(EventType type) { return kEvents[static_cast<std::size_t>(type)]; }

constexpr bool EventsAreInOrder() {
  for (std::size_t i = 0; i < std::size(kEvents); ++i) {
    if (static_cast<std::size_t>(kEvents[i].type) != i) return false;
  }
  return static_cast<std::size_t>(EventType::kStopped) + 1 == std::size(kEvents);
}
static_assert(EventsAreInOrder());

// "ListenerClosed". Never null.
constexpr const char* EventName(EventType type) { return RowOf(type).name; }

// One occurrence of an event.
struct Event {
  EventType type = EventType::kServing;
  // What it happened to, where there are several: the name of a closer or worker.
  std::string subject{};
  // For people; no program depends on it.
  std::string detail{};
  // The phase in which it happened.
  Phase phase = Phase::kStarting;
  Clock::TimePoint at{};
  // Closers and savers only: how long it took, and whether it was passed over because it did not
  // return in time.
  Clock::Duration took{};
  bool passed_over = false;

  const char* name() const { return EventName(type); }
  bool ok() const { return RowOf(type).exit_code == ExitCode::kClean; }
};

// How a process ended: everything about its end that no event says.
struct End {
  ExitCode exit_code = ExitCode::kClean;
  // How the shutdown was requested, such as "terminate" or "interrupt"; otherwise "could not start"
  // or "stopped while starting".
  std::string reason{};
  // Details that no event has: why it could not start, or what was stuck.
  std::string why{};
  // A second signal expedited the shutdown.
  bool expedited = false;
  Clock::TimePoint requested_at{};
  Clock::TimePoint at{};
  ShutdownBudget budget{};
  CallTally calls{};
};

// Receives events, phases and the end of a process, in order, on the thread that causes them.
//
// Requires of an implementation: it may be called from any thread, and returns soon, because the
// shutdown waits for it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;

  // Called with the process that is observed when it begins, and with null at its end. In between,
  // any thread may ask it InFlight() and Alive(). The second call returns once nobody asks.
  virtual void OnProcess(const Process* /*process*/) {}

  // A phase begins that may take up to `budget`; unset: without limit. The previous phase has
  // ended.
  virtual void OnPhase(Phase /*phase*/, Clock::TimePoint /*at*/,
                       std::optional<Clock::Duration> /*budget*/) {}

  // A shutdown was requested during a manual drain: from `at` on, the phase that is running may take
  // up to `left`. OnPhase() is not called again for it.
  virtual void OnPhaseLimit(Clock::TimePoint /*at*/, Clock::Duration /*left*/) {}

  // The process exits with this code. Nothing follows, unless even exiting hangs: then it is called
  // again, and the last call counts.
  //
  // When main calls it, everything else has been reported. When the watchdog or the third signal
  // does, another thread may hang in OnEvent(): an implementation must not wait for a lock that is
  // held where anything can block, nor for anything longer than a quarter of `end.budget.reserve`,
  // or 100 ms if that is more. The process may end meanwhile: what matters most comes first.
  virtual void OnEnd(const End& /*end*/) {}
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_EVENT_H_
