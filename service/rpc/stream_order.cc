#include "service/rpc/stream_order.h"

#include <cstddef>
#include <exception>

#include "absl/strings/str_cat.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/utf8.h"
#include "service/rpc/status.h"

namespace rpc {
namespace {

constexpr unsigned kBusy = 1u << 31;

// How much may be held back: half of what gRPC's transport holds before it writes by itself.
constexpr std::size_t kMaxHintedBytes = 32 * 1024;

thread_local const std::weak_ptr<const void>* making = nullptr;
// The stream one of whose methods runs on this thread.
thread_local const StreamOrder* at_work = nullptr;

bool IsUtf8(const std::string& text) { return lifecycle::ValidUtf8(text) == text; }

std::weak_ptr<const void> OwnerOfThis() {
  lifecycle::Require(making != nullptr, "a stream is made by rpc::Serve(), and by nobody else");
  return *std::exchange(making, nullptr);
}

}  // namespace

void StreamHandle::Wake() const {
  if (const auto owner = owner_.lock()) stream_->Post(StreamOrder::kWake);
}

void StreamHandle::Run(std::function<void()> turn) const {
  if (const auto owner = owner_.lock()) stream_->PostTask(std::move(turn));
}

StreamOrder::Making::Making(std::weak_ptr<const void> owner)
    : owner_(std::move(owner)), outer_(at_work) {
  making = &owner_;
}

StreamOrder::Making::~Making() {
  making = nullptr;
  at_work = outer_;
}

StreamOrder::StreamOrder(bool writes, bool reads)
    : owner_(OwnerOfThis()), writes_(writes), reads_(reads), pending_(kBusy) {
  at_work = this;
}

StreamOrder::~StreamOrder() = default;

void StreamOrder::RequireOwnMethod(const char* what) const {
  if (at_work == this) return;
  lifecycle::Require(false, absl::StrCat("a stream's ", what, " is called in its own methods; ",
                                         "elsewhere, in what handle().Run() is given"));
}

StreamHold StreamOrder::Hold() {
  RequireOwnMethod("Hold()");
  auto owner = owner_.lock();
  lifecycle::Require(transport_ != nullptr, "a stream is not held in its constructor");
  ++holds_;
  held_ = true;
  return {this, [this, owner = std::move(owner)](const void*) {
            if (GuardedMethod::Failing::Here()) {  // Before it is gone: that ends the stream.
              PostTask([this] { Settle(absl::InternalError("the stream's work failed")); });
            }
            --holds_;
            Post(kWake);
          }};
}

void StreamOrder::End(absl::Status status) {
  RequireOwnMethod("End()");
  Settle(std::move(status));
}

void StreamOrder::Settle(absl::Status status) {
  if (!status_) status_ = std::move(status);
}

void StreamOrder::WakeAfter(std::chrono::milliseconds delay) {
  RequireOwnMethod("WakeAfter()");
  delay = lifecycle::AtMostAYear(delay);
  const auto at = std::chrono::steady_clock::now() + delay;
  if (wake_at_ && *wake_at_ <= at) return;
  wake_at_ = at;
  wake_after_ = delay;
}

void StreamOrder::EndUndecodable() {
  method_->Undecodable();
  Settle(
      absl::InvalidArgumentError("the last message cannot be parsed as the method's request type"));
}

void StreamOrder::Begin(Transport& transport, const std::stop_token& draining) {
  transport_ = &transport;
  Turn(kWake);
  on_drain_.emplace(draining, OnDrain{*this});
  Work();
}

void StreamOrder::Post(CallEvent event) {
  if ((pending_.fetch_or(event | kBusy) & kBusy) == 0) Work();
}

void StreamOrder::PostTask(std::function<void()> task) {
  {
    std::lock_guard lock(tasks_mutex_);
    tasks_.push_back(std::move(task));
  }
  Post(kTask);
}

void StreamOrder::Work() {
  for (;;) {
    // Before the events: those that came before a hold went count first.
    held_ = holds_ > 0;
    const unsigned events = pending_.exchange(kBusy) & ~kBusy;
    if ((events & kDone) != 0) {
      // Nobody works any more: kBusy stays.
      on_drain_.reset();
      return transport_->Release();
    }
    if (events != 0) {
      Turn(events);
      // A hold that has gone meanwhile may have told this turn, which took it to be still there.
      if (held_ && holds_ == 0) pending_ |= kWake;
      continue;
    }
    unsigned idle = kBusy;
    if (pending_.compare_exchange_strong(idle, 0)) return;
  }
}

void StreamOrder::Turn(unsigned events) {
  if (finished_) return;
  TakeIn(events);
  // Before the read: what a hold was for has come to may end the stream otherwise than a half-close.
  if ((events & kTask) != 0) RunTasks();
  TakeInRead();
  DecideEnd();
  WriteNext();
  ReadNext();
  SetTimers(events);
  FinishIfDone();
}

void StreamOrder::TakeIn(unsigned events) {
  if ((events & (kWritten | kWriteFailed)) != 0) writing_ = false;
  if ((events & (kCancelled | kWriteFailed)) != 0) cancelled_ = true;
  if ((events & kDrain) != 0) draining_ = true;
  if ((events & kIdle) != 0) beat_is_due_ = !wrote_since_;
  if ((events & kTimer) != 0) wake_at_.reset();
  read_ |= events & (kMessage | kHalfClosed | kUndecodable);
}

void StreamOrder::TakeInRead() {
  if (read_ == 0 || held_) return;
  const unsigned read = std::exchange(read_, 0);
  reading_ = false;
  half_closed_ = read != kMessage;
  if (ended() || cancelled_) return;
  if (read == kMessage) Try([this] { Receive(); });
  if (read == kHalfClosed) Try([this] { OnHalfClose(); });
  if (read == kUndecodable) {
    EndUndecodable();
    Try([this] { TellWhere(); });
  }
}

ResumePoint StreamOrder::Here() {
  ResumePoint here = Goodbye();
  std::size_t size = here.domain.size();
  bool valid = IsUtf8(here.domain);
  for (const auto& [key, value] : here.metadata) {
    valid = valid && IsUtf8(key) && IsUtf8(value);
    size += key.size() + value.size();
  }
  if (valid && HasRoomForDetails(rpc::Goodbye(here.domain, here.metadata))) return here;
  method_->Threw(
      valid ? absl::StrCat("its resume point of ", size, " bytes is too large for a status")
            : "its resume point is not UTF-8");
  here.metadata.clear();
  return here;
}

void StreamOrder::TellWhere() {
  const ResumePoint here = Here();
  status_ = WithErrorInfo(*std::move(status_), here.domain, "UNDECODABLE_MESSAGE", here.metadata);
}

void StreamOrder::RunTasks() {
  std::vector<std::function<void()>> tasks;
  {
    std::lock_guard lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (const std::function<void()>& task : tasks) {
    if (!ended()) Try(task);
  }
}

void StreamOrder::DecideEnd() {
  if (ended() || held_) return;
  if (cancelled_) return Settle(absl::CancelledError("the caller has gone"));
  // An upload that is complete.
  if (half_closed_ && !writes_) return Settle(absl::OkStatus());
  if (!draining_) return;
  Try([this] {
    const ResumePoint here = Here();
    Settle(rpc::Goodbye(here.domain, here.metadata));
  });
}

void StreamOrder::WriteNext() {
  if (cancelled_) filled_ = false;
  if (!writes_ || writing_ || cancelled_) return;
  if (!filled_ && !FillNext() && !FillBeat()) return;
  filled_ = false;
  const std::size_t bytes = Take();
  // The first carries the call's metadata, and would wait for another one.
  const bool hinted = wrote_ && FillNext() && MayHoldBack(bytes);
  hinted_bytes_ = hinted ? hinted_bytes_ + bytes : 0;
  wrote_ = wrote_since_ = writing_ = true;
  transport_->Write(hinted);
}

bool StreamOrder::FillNext() {
  if (!ended()) Try([this] { filled_ = Fill(); });
  return filled_;
}

bool StreamOrder::FillBeat() {
  if (beat_is_due_ && !ended()) Try([this] { filled_ = FillHeartbeat(); });
  return filled_;
}

bool StreamOrder::MayHoldBack(std::size_t bytes) {
  return hinted_bytes_ + bytes <= kMaxHintedBytes;
}

void StreamOrder::ReadNext() {
  if (!reads_ || reading_ || half_closed_ || ended() || cancelled_ || held_) return;
  bool wanted = false;
  Try([&] { wanted = CanRead(); });
  if (!wanted || ended()) return;
  reading_ = true;
  transport_->Read();
}

void StreamOrder::SetTimers(unsigned events) {
  if (ended() || cancelled_) return;
  if (wake_after_) transport_->SetTimer(*std::exchange(wake_after_, std::nullopt));
  if (idle_ <= idle_.zero()) return;
  if (idle_timer_is_set_ && (events & kIdle) == 0) return;
  idle_timer_is_set_ = true;
  wrote_since_ = beat_is_due_ = false;
  transport_->SetIdleTimer(idle_);
}

void StreamOrder::FinishIfDone() {
  if (!ended() || filled_ || held_) return;
  finished_ = true;
  transport_->Finish(*status_);
}

template <typename Method>
void StreamOrder::Try(Method method) {
  const Trace::Scope scope(trace_);
  const GuardedMethod::Running running(method_);
  const StreamOrder* const outer = std::exchange(at_work, this);
  const bool survived = method_->Survives(method);
  at_work = outer;
  if (!survived) Settle(absl::InternalError("the stream failed"));
}

}  // namespace rpc
