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
// The problem: what is closed must not be in use any more, a closer that hangs
// must not keep the others open, and a start that fails half-way must close
// exactly what it had opened.
//
// Guarantees of CloseAll():
//  * An entry is closed only after every entry that uses it was closed or passed
//    over. Without further words an entry uses all that were registered before
//    it, so the order is the reverse of registration. Entries that say what they
//    really use are closed in parallel where nothing stands between them.
//  * A cycle cannot be written: only entries that exist can be named.
//  * A closer that fails, throws or does not return in its time is named in the
//    answer, and the rest goes on.
//  * Every entry has its turn. Of the time that is left when a closer begins, those in a row
//    below it are guaranteed half, but no more than kGuaranteed each; it may use the rest.
//    Time is divided anew when a hurry leaves less.
//  * The cost is linear in the entries and in what they name as used, but for the
//    logarithm of how many are being closed at one time.
//
// Threads: all methods may be called from any thread, but CloseAll() from one at a
// time and from no closer. Closers that run at the same time run on threads of their own,
// which are gone when CloseAll() returns, but for those of closers that were passed over.
// When the system has no thread left, a closer runs on that of CloseAll(), which cannot
// pass it over.
class ShutdownRegistry {
 public:
  static constexpr Clock::Duration kGuaranteed = std::chrono::milliseconds(500);
  // How long before it is passed over a closer's deadline comes, or a fifth of its time when
  // that is less: so that what it says of itself is heard.
  static constexpr Clock::Duration kToAnswer = std::chrono::milliseconds(100);

  // Closes one resource, by `deadline`; DEADLINE_EXCEEDED: has given that up, and what
  // it should have ended still runs. Called once at most. What it captured by
  // reference must live until it returns. When something that uses the resource
  // was passed over, it may still be in use: such a use must then fail, not crash.
  using Closer = std::function<absl::Status(Clock::TimePoint deadline)>;

  // Names an entry of the registry that gave it, also when that is closed.
  class Handle {
   private:
    friend class ShutdownRegistry;
    explicit Handle(std::size_t id) : id_(id) {}
    std::size_t id_;
  };

  // For Options::uses: it uses no entry.
  static inline const std::vector<Handle> kUsesNothing;

  struct Options {
    // The entries that this one uses until it is closed; unset: all that were registered
    // before it.
    std::optional<std::vector<Handle>> uses = std::nullopt;
    // Every entry that is registered later uses this one, whatever else it says.
    bool used_by_all = false;
    // What its closer may take at most; unset: all that is not guaranteed to others.
    std::optional<Clock::Duration> limit = std::nullopt;
  };

  ShutdownRegistry();

  // Requires: CloseAll() has not returned yet. While it runs, a closer may register more.
  Handle Register(std::string name, Closer close) {
    return Register(std::move(name), std::move(close), Options());
  }
  Handle Register(std::string name, Closer close, Options options);

  // How many entries there are: registered, and neither closed nor passed over.
  std::size_t size() const;

  struct Closed {
    std::string name;
    // DEADLINE_EXCEEDED: it had not returned in its time, or says itself that it has
    // given up what it should have ended.
    absl::Status status;
    Clock::Duration took{};
    // So it was: something still runs, and nothing that it uses may be destroyed.
    bool passed_over = false;
  };

  // Closes every entry. Calls `on_closed` for each, on this thread, in the order
  // in which they were done with. What is registered meanwhile is closed as well. Called
  // again, it does nothing.
  void CloseAll(Patience& patience, const std::function<void(const Closed&)>& on_closed);

  // The names of the closers that run now; empty also when that cannot be told
  // without waiting. For the watchdog.
  std::vector<std::string> TryClosing() const;

 private:
  struct Entry;
  struct Graph;
  struct State;

  // Shared with the closers' threads, so that one that hangs has it still.
  const std::shared_ptr<State> state_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REGISTRY_H_
