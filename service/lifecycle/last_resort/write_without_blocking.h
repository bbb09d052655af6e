#ifndef SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_

#include <chrono>
#include <cstddef>
#include <string_view>

namespace lifecycle {

// Writes `text` to `fd` for as long as it is accepted. Returns the number of bytes written: fewer
// than all when `fd` had no room for `patience`.
//
// The problem: a reader may stop reading (a full pipe, a terminal after Ctrl-S, a stuck log
// collector), and write() then waits for it forever.
//
// Guarantees: up to PIPE_BUF bytes (4 KiB) are written to a pipe completely or not at all; longer
// text is written in pieces of that size. Takes no lock and allocates no memory; may be called in a
// signal handler.
//
// It may still block where no process can know in time: when a disk hangs; when a terminal that this
// process may not open once more, or has no descriptor left for, has little room left; and, before
// Linux 6.5, when another writer takes a pipe's last room.
//
// Threads: any.
std::size_t WriteWithoutBlocking(int fd, std::string_view text,
                                 std::chrono::milliseconds patience = {});

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_
