#ifndef SERVICE_ADMIN_READINESS_H_
#define SERVICE_ADMIN_READINESS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/admin/http_request.h"
#include "service/lifecycle/phase.h"

namespace admin {

// What a person wants to know about something that the service depends on: a database, a backend, a
// queue.
//
// It informs; the phase alone decides whether the replica is ready. What all replicas share would
// take them all out of rotation at the same moment, with the calls that need nothing of it. A
// replica that cannot do its work without a thing fails (TaskGroup::Fail()), and is replaced.
//
// Threads: `check` is called on a thread of the admin server, one at a time, and may block for a
// moment. It is called until the admin server is closed, which is after everything else: for what
// is closed it then returns an error. What it throws is an error, too.
struct ReadinessCheck {
  std::string name;
  std::function<absl::Status()> check;
};

// Whether the platform should send callers here: 200 while serving, 503 from the lame duck on and
// before the start is complete. As grpc.health.v1 says for "" on the main address.
HttpResponse Readiness(lifecycle::Phase phase);

// The same, with a line for the phase and for each check.
HttpResponse ReadinessInDetail(lifecycle::Phase phase, const std::vector<ReadinessCheck>& checks);

}  // namespace admin

#endif  // SERVICE_ADMIN_READINESS_H_
