#ifndef SERVICE_CONFIG_ACCESS_LOG_LINE_H_
#define SERVICE_CONFIG_ACCESS_LOG_LINE_H_

#include "service/observability/log_writer.h"
#include "service/rpc/calls/access_log.h"

namespace config {

// What the access log's line says of a call, in this order: method, code, start, duration_ms, peer,
// trace_id, span_id, and if it has them, parent_span_id and request_id.
observability::LogFields FieldsOf(rpc::EndedCall call);

// What every line says that is logged for a call: the trace_id and span_id of the call that this
// thread works for. Empty: for none.
observability::LogFields TraceTags();

}  // namespace config

#endif  // SERVICE_CONFIG_ACCESS_LOG_LINE_H_
