#include "service/rpc/calls/trace.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <random>
#include <typeinfo>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/grpc.h"
#include "grpc/slice.h"
#include "grpcpp/generic/async_generic_service.h"

namespace rpc {
namespace {

constexpr std::size_t kTraceId = 32;
constexpr std::size_t kSpanId = 16;
constexpr std::size_t kFlags = 2;

// Makes a private member reachable: an explicit instantiation may name it.
template <typename Tag, typename Tag::Pointer kMember>
struct Reveal {
  friend typename Tag::Pointer MemberOf(Tag) { return kMember; }
};

struct ReceivedMetadata {
  using Pointer = grpc::internal::MetadataMap grpc::ServerContextBase::*;
  friend Pointer MemberOf(ReceivedMetadata);
};
template struct Reveal<ReceivedMetadata, &grpc::ServerContextBase::client_metadata_>;

// False: it is not all hexadecimal digits in lower case.
bool ReadHex(std::string_view text, std::uint64_t& number) {
  number = 0;
  for (const char c : text) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f')) return false;
    number = number << 4 | static_cast<std::uint64_t>(is_digit ? c - '0' : c - 'a' + 10);
  }
  return true;
}

// Writes the eight hexadecimal digits of a number, all at once.
void WriteHex(std::uint32_t number, char* to) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  std::uint64_t digits = number;  // One a byte.
  digits = (digits | digits << 16) & 0x0000FFFF0000FFFF;
  digits = (digits | digits << 8) & 0x00FF00FF00FF00FF;
  digits = (digits | digits << 4) & 0x0F0F0F0F0F0F0F0F;
  const std::uint64_t letters = (digits + 6 * kOnes) >> 4 & kOnes;  // 1 where it is above 9.
  digits += '0' * kOnes + letters * ('a' - '0' - 10);
  if (std::endian::native == std::endian::little) digits = __builtin_bswap64(digits);
  std::memcpy(to, &digits, sizeof digits);
}

void AppendHex(std::string& text, std::uint64_t number, std::size_t digits = kSpanId) {
  std::array<char, kSpanId> written;
  WriteHex(static_cast<std::uint32_t>(number >> 32), written.data());
  WriteHex(static_cast<std::uint32_t>(number), written.data() + kSpanId / 2);
  text.append(written.data() + kSpanId - digits, digits);
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

// A value, as what it was copied from may be gone when somebody asks: the handler of a call may
// outlast the call.
thread_local std::optional<Trace> current;

// Asked several times for each call: where the types differ, to compare their names takes 40
// instructions. Their addresses say the same, as there is one such type in a program.
bool IsSpan(const grpc::ServerContextBase& call) { return &typeid(call) == &typeid(SpanContext); }

// gRPC receives more than it sends, and to send the rest ends the process (grpc/grpc#34798).
bool MayBeSent(std::string_view value) {
  return grpc_header_nonbin_value_is_legal(
             grpc_slice_from_static_buffer(value.data(), value.size())) != 0;
}

std::string_view TextOf(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

}  // namespace

Trace Trace::Begin(std::string_view traceparent) {
  const std::optional<Trace> caller = Parse(traceparent);
  if (!caller) return {.id_high = Random(), .id_low = Random(), .span = Random()};
  Trace below = *caller;
  below.parent = std::exchange(below.span, Random());
  return below;
}

std::optional<Trace> Trace::Parse(std::string_view text) {
  constexpr std::size_t kLength = 2 + 1 + kTraceId + 1 + kSpanId + 1 + kFlags;
  if (text.size() < kLength) return std::nullopt;
  const std::string_view id = text.substr(3, kTraceId);
  std::uint64_t version = 0;
  std::uint64_t flags = 0;
  Trace trace;
  const bool hex = ReadHex(text.substr(0, 2), version) &&
                   ReadHex(id.substr(0, kTraceId / 2), trace.id_high) &&
                   ReadHex(id.substr(kTraceId / 2), trace.id_low) &&
                   ReadHex(text.substr(4 + kTraceId, kSpanId), trace.span) &&
                   ReadHex(text.substr(5 + kTraceId + kSpanId, kFlags), flags);
  const bool dashes =
      text[2] == '-' && text[3 + kTraceId] == '-' && text[4 + kTraceId + kSpanId] == '-';
  if (!hex || !dashes || (trace.id_high | trace.id_low) == 0 || trace.span == 0) {
    return std::nullopt;
  }
  // Version ff is forbidden, 00 ends here, and a later one may go on behind a dash.
  if (version == 0xFF || (version == 0 && text.size() > kLength)) return std::nullopt;
  if (text.size() > kLength && text[kLength] != '-') return std::nullopt;
  // Of a later version, only what this one knows may be passed on with this one's number.
  trace.flags = static_cast<std::uint8_t>(version == 0 ? flags : flags & 1);
  return trace;
}

std::string Trace::TraceId() const {
  std::string id;
  id.reserve(kTraceId);
  AppendHex(id, id_high);
  AppendHex(id, id_low);
  return id;
}

std::string Trace::SpanId() const {
  std::string id;
  AppendHex(id, span);
  return id;
}

std::string Trace::ParentSpanId() const {
  std::string id;
  if (parent != 0) AppendHex(id, parent);
  return id;
}

std::string Trace::Traceparent() const {
  std::string text = absl::StrCat("00-", TraceId(), "-", SpanId(), "-");
  AppendHex(text, flags, kFlags);
  return text;
}

std::optional<Trace> Trace::Current() { return current; }

Trace::Scope::Scope(const std::optional<Trace>& trace) : outer_(std::exchange(current, trace)) {}

Trace::Scope::~Scope() { current = outer_; }

std::optional<Trace> Trace::Of(const grpc::ServerContextBase& call) {
  if (IsSpan(call)) return static_cast<const SpanContext&>(call).trace;
  if (!current || typeid(call) != typeid(grpc::GenericCallbackServerContext)) return std::nullopt;
  return current;
}

CallSpan* SpanOf(grpc::ServerContextBase& call) {
  return IsSpan(call) ? &static_cast<SpanContext&>(call) : nullptr;
}

SentMetadata MetadataOf(const grpc::ServerContextBase& call, std::string_view name) {
  // Mutable in the context, and only read here.
  const grpc_metadata_array& all =
      *(const_cast<grpc::ServerContextBase&>(call).*MemberOf(ReceivedMetadata())).arr();
  SentMetadata found;
  for (std::size_t i = 0; i < all.count; ++i) {
    if (TextOf(all.metadata[i].key) != name) continue;
    if (++found.count == 1) found.first = TextOf(all.metadata[i].value);
  }
  return found;
}

void PassTraceOn(const grpc::ServerContextBase& caller, grpc::ClientContext& call) {
  const std::optional<Trace> span = Trace::Of(caller);
  const std::optional<Trace> trace =
      span ? span : Trace::Parse(MetadataOf(caller, "traceparent").only());
  if (!trace) return;
  call.AddMetadata("traceparent", trace->Traceparent());
  // The state is not that of the trace that begins here.
  if (span && span->parent == 0) return;
  constexpr std::size_t kMost = 512;  // What the standard wants passed on at least.
  const std::string_view state = MetadataOf(caller, "tracestate").only();
  if (state.empty() || state.size() > kMost || !MayBeSent(state)) return;
  call.AddMetadata("tracestate", std::string(state));
}

}  // namespace rpc
