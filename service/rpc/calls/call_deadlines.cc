#include "service/rpc/calls/call_deadlines.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "grpc/support/alloc.h"
#include "grpc/support/time.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/calls/spread.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;

// Makes a private member reachable: an explicit instantiation may name it.
template <typename Tag, typename Tag::Pointer kMember>
struct Reveal {
  friend typename Tag::Pointer MemberOf(Tag) { return kMember; }
};

struct Deadline {
  using Pointer = gpr_timespec grpc::ServerContextBase::*;
  friend Pointer MemberOf(Deadline);
};
template struct Reveal<Deadline, &grpc::ServerContextBase::deadline_>;

bool IsNever(gpr_timespec time) { return gpr_time_cmp(time, gpr_inf_future(time.clock_type)) == 0; }

gpr_timespec FromNow(milliseconds duration, gpr_clock_type clock) {
  return gpr_time_add(gpr_now(clock), gpr_time_from_millis(duration.count(), GPR_TIMESPAN));
}

std::string PeerOf(grpc_call* call) {
  char* const peer = grpc_call_get_peer(call);
  std::string copied = peer;
  gpr_free(peer);
  return copied;
}

milliseconds Interval(const CallDeadlines::Limits& limits) {
  milliseconds interval(100);
  for (const milliseconds each : {limits.max, limits.when_unset}) {
    if (each.count() > 0) interval = std::min(interval, each / 10);
  }
  return std::max(interval, milliseconds(1));
}

}  // namespace

CallDeadlines::CallDeadlines(Limits limits, LimitLog::Write write,
                             std::function<void(const std::string& peer)> ends)
    : limits_({lifecycle::AtMostAYear(limits.max), lifecycle::AtMostAYear(limits.when_unset)}),
      interval_(Interval(limits)),
      ends_(std::move(ends)),
      ended_("ended a call: it took longer than --max_deadline or --default_deadline allows",
             std::move(write)),
      thread_([this] { Run(); }) {}

CallDeadlines::~CallDeadlines() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

milliseconds CallDeadlines::Limit(gpr_timespec deadline) const {
  if (IsNever(deadline)) return limits_.when_unset.count() > 0 ? limits_.when_unset : limits_.max;
  const bool later = limits_.max.count() > 0 &&
                     gpr_time_cmp(deadline, FromNow(limits_.max, deadline.clock_type)) > 0;
  return later ? limits_.max : milliseconds(0);
}

void CallDeadlines::Begin(grpc::ServerContextBase& context, const char* method) {
  gpr_timespec& deadline = context.*MemberOf(Deadline());
  const milliseconds limit = Limit(deadline);
  if (limit.count() == 0) return;
  deadline = FromNow(limit, deadline.clock_type);
  grpc_call* const call = context.c_call();
  grpc_call_ref(call);
  Shard& shard = ShardOf(&context);
  std::lock_guard lock(shard.mutex);
  shard.calls.emplace(&context, Running{call, method, Clock::now() + limit});
}

void CallDeadlines::End(const void* context) {
  Shard& shard = ShardOf(context);
  std::unique_lock lock(shard.mutex);
  const auto found = shard.calls.find(context);
  if (found == shard.calls.end()) return;
  grpc_call* const call = found->second.call;
  shard.calls.erase(found);
  lock.unlock();
  grpc_call_unref(call);
}

int CallDeadlines::bounded() {
  std::size_t calls = 0;
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    calls += shard.calls.size();
  }
  return static_cast<int>(calls);
}

CallDeadlines::Shard& CallDeadlines::ShardOf(const void* context) {
  return shards_[Spread(context, shards_.size())];
}

void CallDeadlines::Run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval_, [this] { return over_; })) {
    lock.unlock();
    for (Shard& shard : shards_) EndThoseThatAreOver(shard);
    lock.lock();
  }
}

void CallDeadlines::EndThoseThatAreOver(Shard& shard) {
  std::vector<Running> over;
  {
    const Clock::time_point now = Clock::now();
    std::lock_guard lock(shard.mutex);
    for (auto& [context, running] : shard.calls) {
      if (running.deadline > now) continue;
      running.deadline = Clock::time_point::max();  // Once.
      grpc_call_ref(running.call);
      over.push_back(running);
    }
  }
  // Without the lock: the call may end before this returns.
  for (const Running& each : over) {
    ended_.Count(each.method);
    if (ends_) ends_(PeerOf(each.call));
    grpc_call_cancel_with_status(each.call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                 "the server lets no call run for that long", nullptr);
    grpc_call_unref(each.call);
  }
}

}  // namespace rpc
