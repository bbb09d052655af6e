#ifndef SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_

namespace lifecycle {

// Puts /dev/null in the place of stdin, stdout and stderr where they are closed.
//
// The problem: the kernel gives the lowest number that is free, so whatever the process opens
// next would be stderr: a database, a caller's connection, an eventfd that wakes gRPC's
// threads, and each line of the log would be written into it.
//
// Requires: called before anything is opened that is not to be written to.
void OpenStandardStreams();

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_STANDARD_STREAMS_H_
