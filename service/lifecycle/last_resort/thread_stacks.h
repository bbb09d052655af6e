#ifndef SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_

#include <chrono>

namespace lifecycle {

// Makes ready for WriteThreadStacks(): loads what would need a lock later. Any number
// of times.
void PrepareThreadStacks();

// Writes to `fd` where every other thread of this process is: its number, its name,
// and the functions that it is in, the innermost first. The process can go on afterwards: a
// thread that was in a system call which no handler lets go on has seen EINTR.
//
// Takes no lock and no memory, so it works whatever hangs: each thread is interrupted
// by a signal and writes its own stack down (absl::Symbolize and, once it is loaded,
// glibc's backtrace() may be called there). A thread that blocks the signal, or does
// not come to it in 100 ms, is listed without a stack.
//
// Once `limit` is over, no further thread is asked, and functions go by their addresses.
// Once `fd` takes nothing any more, no further word is written. What it cannot help is a
// disk that hangs under the names of the functions: see to the exit before
// (watchdog.h).
//
// Threads: any; does nothing while another one is at it.
void WriteThreadStacks(int fd, std::chrono::steady_clock::duration limit);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_THREAD_STACKS_H_
