#ifndef SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_

#include <chrono>
#include <cstddef>
#include <string_view>

namespace lifecycle {

// Writes `text` to `fd` for as long as somebody takes it. Returns how many bytes went:
// fewer than all when there was no room for the next for as long as `patience`.
//
// The problem: whoever reads may stop to (a full pipe, a terminal after Ctrl-S, a stuck
// collector), and write() waits for him for ever.
//
// Guarantees: in a pipe, up to PIPE_BUF bytes (4 KiB) go as a whole or not at all, and
// what is longer goes in pieces of that size. Takes no lock and no memory; may be
// called in a signal handler.
//
// What no process can know in time: that a disk hangs, that a terminal has little room
// left; before Linux 6.5, that another writer takes a pipe's last room. There it may block
// all the same.
//
// Threads: any.
std::size_t WriteWithoutBlocking(int fd, std::string_view text,
                                 std::chrono::milliseconds patience = {});

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_WRITE_WITHOUT_BLOCKING_H_
