#ifndef SERVICE_LIFECYCLE_SHUTDOWN_REGISTRY_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_REGISTRY_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// Everything that a process has opened, and how to close it again, in order.
//
// The problem: a resource must not be closed while it is in use, a closer that hangs must not keep
// the others from being closed, and a start that fails halfway must close exactly what it had
// opened.
//
// CloseAll() guarantees:
// * An entry is closed only after every entry that uses it was closed or passed over. By default an
//   entry uses all entries registered before it, so the order is the reverse of registration.
//   Entries that declare what they really use are closed in parallel where nothing prevents it.
// * A cycle cannot be written, because only existing entries can be named.
// * A closer that fails, throws or does not return in time is named in the result, and the rest
//   continues.
// * Every entry gets its turn. When a closer begins, the entries in line below it are guaranteed
//   half of the time that is left, but at most kGuaranteed each; the closer may use the rest. When
//   the shutdown is expedited, the remaining time is divided anew.
// * The cost is linear in the number of entries and declared uses, times the logarithm of the
//   number of closers running in parallel.
//
// Threads: all methods may be called from any thread, but CloseAll() by one thread at a time and
// never from a closer. Closers that run in parallel run on threads of their own, which are joined
// when CloseAll() returns, except those of closers that were passed over. When the system cannot
// create a thread, a closer runs on CloseAll()'s thread and cannot be passed over.
class ShutdownRegistry {
 public:
  static constexpr Clock::Duration kGuaranteed = std::chrono::milliseconds(500);
  // A closer's deadline comes this long before it is passed over, or a fifth of its time if that is
  // less, so that its own diagnosis is still heard.
  static constexpr Clock::Duration kToAnswer = std::chrono::milliseconds(100);

  // Closes one resource, by `deadline`. DEADLINE_EXCEEDED: it gave up, and something it should have
  // ended still runs. Called at most once. Everything it captured by reference must live until it
  // returns. If a user of the resource was passed over, the resource may still be in use: such a
  // use must then fail, not crash.
  using Closer = std::function<absl::Status(Clock::TimePoint deadline)>;

  // Identifies an entry of the registry that returned it, even after that entry is closed.
  class Handle {
   private:
    friend class ShutdownRegistry;
    explicit Handle(std::size_t id) : id_(id) {}
    std::size_t id_;
  };

  // For Options::uses: the entry uses no other.
  static inline const std::vector<Handle> kUsesNothing;

  struct Options {
    // The entries that this one uses until it is closed; unset: all entries registered before it.
    std::optional<std::vector<Handle>> uses = std::nullopt;
    // Every entry registered later uses this one, whatever else it declares.
    bool used_by_all = false;
    // The longest time that its closer may take; unset: all that is not guaranteed to others.
    std::optional<Clock::Duration> limit = std::nullopt;
  };

  ShutdownRegistry();

  // Requires: CloseAll() has not returned. While CloseAll() runs, closers may register more
  // entries.
  Handle Register(std::string name, Closer close) {
    return Register(std::move(name), std::move(close), Options());
  }
  Handle Register(std::string name, Closer close, Options options);

  struct Closed {
    std::string name;
    // DEADLINE_EXCEEDED: it did not return in time, or reports that it gave up on something it
    // should have ended.
    absl::Status status;
    Clock::Duration took{};
    // It did not return in time: something still runs, and nothing that it uses may be destroyed.
    bool passed_over = false;
  };

  // Closes every entry. Calls `on_closed` for each, on the calling thread, in the order in which
  // they finish. Entries registered meanwhile are closed as well. Calling it again does nothing.
  void CloseAll(Patience& patience, const std::function<void(const Closed&)>& on_closed);

  // The names of the closers that are running; also empty when that cannot be known without
  // waiting. For the watchdog.
  std::vector<std::string> TryClosing() const;

 private:
  struct Entry;
  struct State;

  // Shared with the closers' threads: one that hangs may outlive the registry.
  const std::shared_ptr<State> state_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REGISTRY_H_
