#include "service/config/access_log_line.h"

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/observability/utc_time.h"
#include "service/rpc/calls/trace.h"

namespace config {
namespace {

// With three digits after the point.
std::string Milliseconds(std::chrono::nanoseconds duration) {
  const auto microseconds = std::chrono::round<std::chrono::microseconds>(duration).count();
  return absl::StrCat(microseconds / 1000, ".", absl::Dec(microseconds % 1000, absl::kZeroPad3));
}

}  // namespace

observability::LogFields FieldsOf(rpc::EndedCall call) {
  observability::LogFields fields;  // Not from a list, which would be copied.
  fields.reserve(9);
  fields.push_back({"method", std::move(call.method)});
  fields.push_back({"code", rpc::CodeName(call.code)});
  fields.push_back({"start", observability::UtcTime(call.started, /*digits=*/6)});
  fields.push_back({"duration_ms", Milliseconds(call.duration),
                    /*is_number=*/true});
  fields.push_back({"peer", std::move(call.peer)});
  fields.push_back({"trace_id", call.trace.TraceId()});
  fields.push_back({"span_id", call.trace.SpanId()});
  if (call.trace.parent != 0) fields.push_back({"parent_span_id", call.trace.ParentSpanId()});
  if (!call.request_id.empty()) fields.push_back({"request_id", std::move(call.request_id)});
  return fields;
}

observability::LogFields TraceTags() {
  const std::optional<rpc::Trace> trace = rpc::Trace::Current();
  if (!trace) return {};
  return {{"trace_id", trace->TraceId()}, {"span_id", trace->SpanId()}};
}

}  // namespace config
