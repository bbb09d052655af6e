#ifndef SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_

namespace lifecycle {

// What the process tells its platform when it ends. Operators rely on these numbers
// (docs/operations.md): never change the meaning of one.
//
// When several apply, the highest is returned, but never kForced or kCloseFailed of a start that fails.
enum class ExitCode {
  // Every accepted call was finished and every resource closed.
  kClean = 0,
  // A flag is unknown or malformed, or flags contradict each other. Abseil's own flag parser exits
  // with this code, too.
  kUsage = 1,
  // Something needed to serve could not be opened, or main threw before it served; even if what was
  // already open did not close cleanly.
  kCouldNotStart = 2,
  // A call or a worker did not end in time and was cut.
  kForced = 3,
  // Something could not be saved or closed, or not in time.
  kCloseFailed = 4,
  // The watchdog ended the process because the whole budget was spent.
  kWatchdog = 5,
  // A third signal ended the process at once.
  kThirdSignal = 6,
  // A bug: an uncaught exception, a broken precondition, or exit() while main was running.
  kBug = 7,
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_
