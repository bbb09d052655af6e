#ifndef SERVICE_RPC_CALLS_TRACE_H_
#define SERVICE_RPC_CALLS_TRACE_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"

namespace rpc {

// Where a call belongs in a distributed trace, as W3C Trace Context has it. A value of a few words,
// written as hexadecimal digits only where it is shown.
struct Trace {
  std::uint64_t id_high = 0;  // The trace's id.
  std::uint64_t id_low = 0;
  std::uint64_t span = 0;    // This call; not 0.
  std::uint64_t parent = 0;  // Its caller's span; 0: the trace begins here.
  std::uint8_t flags = 1;    // Sampled.

  bool operator==(const Trace&) const = default;

  // A new span: below the caller's, whose `traceparent` it is, or of a new trace when that is
  // missing or invalid.
  static Trace Begin(std::string_view traceparent);

  // Reads "00-TRACE-SPAN-FLAGS", also of later versions. Unset: it is invalid, to be ignored.
  static std::optional<Trace> Parse(std::string_view traceparent);

  // In lower case, with all their zeros.
  std::string TraceId() const;       // 32 digits.
  std::string SpanId() const;        // 16 digits.
  std::string ParentSpanId() const;  // 16 digits; empty: it has none.

  // For whom this call calls: "00-TRACE-SPAN-FLAGS".
  std::string Traceparent() const;

  // The span of the work on this thread, so that its log lines and calls can say so. What runs
  // later, in a pool or after an answer, keeps it and announces it again.
  //
  // Unset: there is none, as when calls are not logged (access_log.h).
  static std::optional<Trace> Current();

  class Scope;

  // The span of a call, if it has one. gRPC lets nobody add it to a call of a generic service, whose
  // span is known where it is announced: in CreateReactor().
  static std::optional<Trace> Of(const grpc::ServerContextBase& call);
};

// Announces a span as long as it lives, on the thread that made it.
class Trace::Scope {
 public:
  explicit Scope(const std::optional<Trace>& trace);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  const std::optional<Trace> outer_;
};

// What a logged call of the callback API carries.
struct CallSpan {
  static constexpr int kNoStatus = -1;

  Trace trace;                         // Set before the handler sees the context.
  std::string peer;                    // The same: gRPC forgets it when the call is cancelled.
  std::atomic<int> status{kNoStatus};  // With which the call ends, once that is known.
};

// The context of such a call, for gRPC to use instead of one of its own.
class SpanContext final : public grpc::CallbackServerContext, public CallSpan {};

// Null: the context is another one.
CallSpan* SpanOf(grpc::ServerContextBase& call);

// The values of `name` that a call's caller has sent: the first one, and how many there are.
//
// gRPC copies all metadata into a map when it is asked for it. This does not, as it is used for
// every call.
struct SentMetadata {
  std::string_view first = {};  // Lives as long as the call.
  int count = 0;

  // Several are as good as none where nobody can say which is right.
  std::string_view only() const { return count == 1 ? first : std::string_view(); }
};
SentMetadata MetadataOf(const grpc::ServerContextBase& call, std::string_view name);

// Makes a call on behalf of `caller` part of the caller's trace: below the span of `caller`, or of
// the one that the caller has sent where calls have no spans. Its `tracestate` goes with it, unless it
// has more than 512 bytes or one that gRPC does not send: a control character, or no ASCII.
void PassTraceOn(const grpc::ServerContextBase& caller, grpc::ClientContext& call);

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_TRACE_H_
