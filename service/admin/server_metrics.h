#ifndef SERVICE_ADMIN_SERVER_METRICS_H_
#define SERVICE_ADMIN_SERVER_METRICS_H_

#include <vector>

#include "prometheus/metric_family.h"
#include "service/lifecycle/process.h"
#include "service/observability/process_log.h"
#include "service/rpc/server_host.h"

namespace admin {

// The harness's counters for Prometheus. docs/operations.md lists them.

// The phase, the time left, what the shutdown waits for (calls, streams, connections), and how long
// each closer took.
std::vector<prometheus::MetricFamily> ReadLifecycleMetrics(const lifecycle::Process& process,
                                                           const observability::ProcessLog& log);

using Servers = std::vector<const rpc::ServerHost*>;

// Calls by method, under the names of gRFC A66, and how often each limit was hit, of all of them
// together. Nothing if there are none.
std::vector<prometheus::MetricFamily> ReadServerMetrics(const Servers& servers);

rpc::ServerHost::Refusals Refused(const Servers& servers);

}  // namespace admin

#endif  // SERVICE_ADMIN_SERVER_METRICS_H_
