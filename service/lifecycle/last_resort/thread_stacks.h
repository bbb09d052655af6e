#ifndef SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_

#include <chrono>

namespace lifecycle {

// Prepares WriteThreadStacks(): loads everything that would need a lock later. May be called
// repeatedly.
void PrepareThreadStacks();

// Writes the stack of every thread of this process to `fd`, the calling one's first: its number, its
// name, and its functions, innermost first. The process can continue afterwards; a thread that was
// in a system call which cannot be restarted has seen EINTR.
//
// Takes no lock and allocates no memory, so it works whatever hangs: a signal interrupts each other
// thread, which writes its own stack (absl::Symbolize and, once it is loaded, glibc's backtrace()
// may be called there). A thread that blocks the signal, or does not handle it within 100 ms, is
// listed without a stack.
//
// After `limit` no further thread is asked, and functions are written as addresses. Once `fd`
// accepts nothing, nothing further is written. It cannot protect against a disk that hangs while
// function names are read: arrange the exit first (Watchdog::ExitBy()).
//
// Threads: any; does nothing while another thread is inside it.
void WriteThreadStacks(int fd, std::chrono::steady_clock::duration limit);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_
