#ifndef SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_

#include <functional>
#include <string>

namespace lifecycle {

// Is asked how the process ends when it does so otherwise than by a return from main: at an
// exception that nobody caught, of whatever thread, at a broken precondition (precondition.h),
// at exit() while main is still at work.
//
// The problem: std::terminate() would leave the callers without a word and the platform with
// SIGABRT, and exit() destroys static objects under threads that use them.
//
// What happened is on stderr before. Without an object of this class the process ends: with
// kCouldNotStart before there was any, with kBug after the last.
//
// Requires: one at a time in a process.
// Threads: `end` is called on the thread on which it happened, with that thread's stack as it
// was: what that thread has locked is locked still, what main has opened is there. The process
// ends with kBug when it returns.
class UnplannedEnd {
 public:
  explicit UnplannedEnd(std::function<void(const std::string& why)> end);
  ~UnplannedEnd();
  UnplannedEnd(const UnplannedEnd&) = delete;
  UnplannedEnd& operator=(const UnplannedEnd&) = delete;

  // Called by BlockStopSignals().
  static void Install();

  // exit() is noticed before it destroys anything static that exists by now.
  static void NoticeExitFromNowOn();
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_
