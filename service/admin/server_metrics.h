#ifndef SERVICE_ADMIN_SERVER_METRICS_H_
#define SERVICE_ADMIN_SERVER_METRICS_H_

#include <vector>

#include "prometheus/metric_family.h"
#include "service/lifecycle/process.h"
#include "service/observability/process_log.h"
#include "service/rpc/server_host.h"

namespace admin {

// What the harness counts, for Prometheus. docs/operations.md has the list.

// Phase, time left, and what holds the shutdown: calls, streams, connections; and what its closers
// took.
std::vector<prometheus::MetricFamily> ReadLifecycleMetrics(const lifecycle::Process& process,
                                                           const observability::ProcessLog& log);

// Calls by method, under gRPC's own names (gRFC A66), and the limits that were hit.
std::vector<prometheus::MetricFamily> ReadServerMetrics(const rpc::ServerHost& server);

}  // namespace admin

#endif  // SERVICE_ADMIN_SERVER_METRICS_H_
