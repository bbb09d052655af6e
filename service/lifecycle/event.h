#ifndef SERVICE_LIFECYCLE_EVENT_H_
#define SERVICE_LIFECYCLE_EVENT_H_

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Everything that may be told of a process from its start to its end: past facts, in the
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
  // One word for logs, reports and tests alike.
  const char* name;
  // In which it happens; a shutdown may be requested in any.
  Phase phase;
  // What the process exits with at least. Unless kClean it is a failure: a person should
  // look at it.
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

// Unset: no event has this name.
constexpr std::optional<EventType> EventOfName(std::string_view name) {
  for (const EventRow& row : kEvents) {
    if (name == row.name) return row.type;
  }
  return std::nullopt;
}

// One of them, as it happened.
struct Event {
  EventType type = EventType::kServing;
  // What it happened to, where there are several: a closer's or a worker's name.
  std::string subject{};
  // For a person to read; no program depends on it.
  std::string detail{};
  // The phase in which it happened.
  Phase phase = Phase::kStarting;
  Clock::TimePoint at{};
  // Of what was closed or saved: how long it took, and whether it was passed over,
  // because it had not returned in its time.
  Clock::Duration took{};
  bool passed_over = false;

  const char* name() const { return EventName(type); }
  bool ok() const { return RowOf(type).exit_code == ExitCode::kClean; }
};

// How a process ends, and what no event tells.
struct End {
  ExitCode exit_code = ExitCode::kClean;
  // How the shutdown was asked for, "terminate" or "interrupt"; or "could not start", or
  // "stopped while starting".
  std::string reason{};
  // In words, when no event says it: why it could not start, what was stuck.
  std::string why{};
  // A second signal came.
  bool hurried = false;
  Clock::TimePoint requested_at{};
  Clock::TimePoint at{};
  ShutdownBudget budget{};
  CallTally calls{};
};

// Is told what happens: by the thread that makes it happen, in order.
//
// Requires of an implementation: it may be called from any thread, and returns
// soon; the shutdown waits for it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;

  // A phase begins that may take `budget`; unset: it has no limit. The one before it
  // has ended.
  virtual void OnPhase(Phase /*phase*/, Clock::TimePoint /*at*/,
                       std::optional<Clock::Duration> /*budget*/) {}

  // The process leaves with this code. Nothing is told after it, unless even leaving
  // hangs: then it is told again, and the last counts.
  //
  // When main tells it, every other thing has been told. When the watchdog or the third
  // signal does, another thread may hang in OnEvent(): whoever implements it waits for no
  // lock that is held where anything can block, and for nothing longer than a quarter of
  // `end.budget.reserve`.
  virtual void OnEnd(const End& /*end*/) {}
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_EVENT_H_
