#ifndef SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_

namespace lifecycle {

// What the process says to its platform when it ends. Operators rely on these
// numbers (docs/operations.md): never change the meaning of one.
//
// When several apply, the highest is returned.
enum class ExitCode {
  // Everything that was accepted was finished, everything opened was closed.
  kClean = 0,
  // A flag is unknown or malformed, or the flags contradict each other. Also what
  // abseil's own flag parser exits with.
  kUsage = 1,
  // Something that was needed to serve could not be opened; also when what had been
  // opened did not close well.
  kCouldNotStart = 2,
  // A call or a worker did not end in its time and was cut off.
  kForced = 3,
  // Something could not be saved or closed, or not in its time.
  kCloseFailed = 4,
  // The watchdog ended the process because the whole budget was spent.
  kWatchdog = 5,
  // A third signal ended the process at once.
  kThirdSignal = 6,
  // An exception that nobody caught, a broken precondition, or exit() while main was at work:
  // a bug of the program.
  kBug = 7,
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_EXIT_CODE_H_
