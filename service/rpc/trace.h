#ifndef SERVICE_RPC_TRACE_H_
#define SERVICE_RPC_TRACE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"

namespace rpc {

// Where a call belongs in a distributed trace, as W3C Trace Context has it. Hexadecimal digits, in
// lower case.
struct Trace {
  std::string trace_id = {};        // 32 digits.
  std::string span_id = {};         // 16 digits: this call.
  std::string parent_span_id = {};  // Its caller's; empty: the trace begins here.
  std::string flags = "01";         // Sampled.

  bool operator==(const Trace&) const = default;

  // A new span: below the caller's, whose `traceparent` it is, or of a new trace when that is
  // missing or invalid.
  static Trace Begin(std::string_view traceparent);

  // Reads "00-TRACE-SPAN-FLAGS", also of later versions. Unset: it is invalid, to be ignored.
  static std::optional<Trace> Parse(std::string_view traceparent);

  // For whom this call calls: "00-TRACE-SPAN-FLAGS".
  std::string Traceparent() const;

  // The span of the work on this thread, so that its log lines and calls can say so. What runs
  // later, in a pool or after an answer, keeps it and announces it again.
  //
  // Null: there is none, as when calls are not logged (access_log.h).
  static std::shared_ptr<const Trace> Current();

  // Announces a span as long as it lives, on the thread that made it.
  class Scope {
   public:
    explicit Scope(std::shared_ptr<const Trace> trace);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::shared_ptr<const Trace> outer_;
  };

  // Where AccessLog puts a call's span among its received metadata: no caller can send that name.
  static constexpr char kMetadata[] = "Span";

  // The span of a call, if it has one.
  static std::shared_ptr<const Trace> Of(const grpc::ServerContextBase& call);
};

// Makes a call on behalf of `caller` part of the caller's trace: below the span of `caller`, or as
// the caller has sent it where calls have no spans. `tracestate` goes with it.
void PassTraceOn(const grpc::ServerContextBase& caller, grpc::ClientContext& call);

}  // namespace rpc

#endif  // SERVICE_RPC_TRACE_H_
