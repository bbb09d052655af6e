#include "service/rpc/trace.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

constexpr std::size_t kTraceId = 32;
constexpr std::size_t kSpanId = 16;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsId(std::string_view text) {
  return IsHex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

// As an id must be, not 0.
std::uint64_t Random() {
  static thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  std::uint64_t number = 0;
  while (number == 0) number = random();
  return number;
}

std::string NewSpanId() { return absl::StrCat(absl::Hex(Random(), absl::kZeroPad16)); }

std::string NewTraceId() {
  return absl::StrCat(absl::Hex(Random(), absl::kZeroPad16), absl::Hex(Random(), absl::kZeroPad16));
}

// Empty: the call has none, or several.
std::string_view MetadataOf(const grpc::ServerContextBase& call, const char* name) {
  const auto [begin, end] = call.client_metadata().equal_range(name);
  if (begin == end || std::next(begin) != end) return {};
  return {begin->second.data(), begin->second.size()};
}

std::shared_ptr<const Trace>& OfThisThread() {
  static thread_local std::shared_ptr<const Trace> current;
  return current;
}

}  // namespace

Trace Trace::Begin(std::string_view traceparent) {
  std::optional<Trace> caller = Parse(traceparent);
  if (!caller) return {.trace_id = NewTraceId(), .span_id = NewSpanId()};
  return {.trace_id = std::move(caller->trace_id),
          .span_id = NewSpanId(),
          .parent_span_id = std::move(caller->span_id),
          .flags = std::move(caller->flags)};
}

std::optional<Trace> Trace::Parse(std::string_view text) {
  constexpr std::size_t kLength = 2 + 1 + kTraceId + 1 + kSpanId + 1 + 2;
  if (text.size() < kLength) return std::nullopt;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace = text.substr(3, kTraceId);
  const std::string_view span = text.substr(4 + kTraceId, kSpanId);
  const std::string_view flags = text.substr(5 + kTraceId + kSpanId, 2);
  const bool dashes =
      text[2] == '-' && text[3 + kTraceId] == '-' && text[4 + kTraceId + kSpanId] == '-';
  if (!dashes || !IsHex(version) || !IsId(trace) || !IsId(span) || !IsHex(flags)) {
    return std::nullopt;
  }
  // Version ff is forbidden, 00 ends here, and a later one may go on behind a dash.
  if (version == "ff" || (version == "00" && text.size() > kLength)) return std::nullopt;
  if (text.size() > kLength && text[kLength] != '-') return std::nullopt;
  return Trace{
      .trace_id = std::string(trace), .span_id = std::string(span), .flags = std::string(flags)};
}

std::string Trace::Traceparent() const {
  return absl::StrCat("00-", trace_id, "-", span_id, "-", flags);
}

std::shared_ptr<const Trace> Trace::Current() { return OfThisThread(); }

Trace::Scope::Scope(std::shared_ptr<const Trace> trace)
    : outer_(std::exchange(OfThisThread(), std::move(trace))) {}

Trace::Scope::~Scope() { OfThisThread() = std::move(outer_); }

std::shared_ptr<const Trace> Trace::Of(const grpc::ServerContextBase& call) {
  std::optional<Trace> span = Parse(MetadataOf(call, kMetadata));
  return span ? std::make_shared<const Trace>(*std::move(span)) : nullptr;
}

void PassTraceOn(const grpc::ServerContextBase& caller, grpc::ClientContext& call) {
  std::string_view traceparent = MetadataOf(caller, Trace::kMetadata);
  if (traceparent.empty()) traceparent = MetadataOf(caller, "traceparent");
  if (!Trace::Parse(traceparent)) return;
  call.AddMetadata("traceparent", std::string(traceparent));
  constexpr std::size_t kMost = 512;  // What the standard wants passed on at least.
  const std::string_view state = MetadataOf(caller, "tracestate");
  if (!state.empty() && state.size() <= kMost) call.AddMetadata("tracestate", std::string(state));
}

}  // namespace rpc
