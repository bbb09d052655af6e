#ifndef SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_

#include <functional>
#include <string>

namespace lifecycle {

// Decides how the process ends when it does not end by returning from main: at an uncaught
// exception on any thread, at a broken precondition (precondition.h), or at exit() while main is
// running.
//
// The problem: std::terminate() would leave callers without an answer and the platform with
// SIGABRT, and exit() destroys static objects while threads use them.
//
// What happened is first written to stderr. Without an object of this class the process exits: with
// kCouldNotStart before the first one was created, with kBug after the last.
//
// Requires: only one at a time in a process.
// Threads: `end` is called on the thread on which it happened, with that thread's stack still in
// place: its locks are still held, and everything main has opened still exists. The process exits
// with kBug when it returns.
class UnplannedEnd {
 public:
  explicit UnplannedEnd(std::function<void(const std::string& why)> end);
  // Does not return while another thread ends the process.
  ~UnplannedEnd();
  UnplannedEnd(const UnplannedEnd&) = delete;
  UnplannedEnd& operator=(const UnplannedEnd&) = delete;

  // Called by BlockShutdownSignals().
  static void Install();

  // Makes exit() noticed before it destroys any static object that exists by now.
  static void NoticeExitFromNowOn();
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_UNPLANNED_END_H_
