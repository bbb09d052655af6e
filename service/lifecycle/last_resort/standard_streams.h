#ifndef SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_

namespace lifecycle {

// Replaces stdin, stdout and stderr by /dev/null where they are closed.
//
// The problem: the kernel assigns the lowest free descriptor, so whatever the process opens next
// would become stderr: a database, a caller's connection, or an eventfd that wakes gRPC's threads.
// Every line of the log would be written into it.
//
// Requires: called before anything is opened that must not be written to.
void OpenStandardStreams();

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_
