#include "service/admin/admin_service.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "service/admin/drain_news.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/phase.h"
#include "service/rpc/status.h"

namespace admin {
namespace {

using lifecycle::Phase;
using lifecycle::ProcessStatus;

// How often the state is looked at for a watcher.
constexpr std::chrono::milliseconds kLookInterval(50);

v1::Phase ToProto(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return v1::PHASE_STARTING;
    case Phase::kServing:
      return v1::PHASE_SERVING;
    case Phase::kLameDuck:
      return v1::PHASE_LAME_DUCK;
    case Phase::kDrainingConnections:
      return v1::PHASE_DRAINING_CONNECTIONS;
    case Phase::kDrainingCalls:
      return v1::PHASE_DRAINING_CALLS;
    case Phase::kCancellingCalls:
      return v1::PHASE_CANCELLING_CALLS;
    case Phase::kStoppingWorkers:
      return v1::PHASE_STOPPING_WORKERS;
    case Phase::kSavingState:
      return v1::PHASE_SAVING_STATE;
    case Phase::kClosingResources:
      return v1::PHASE_CLOSING_RESOURCES;
    case Phase::kStopped:
      return v1::PHASE_STOPPED;
  }
  return v1::PHASE_UNSPECIFIED;
}

v1::State ToProto(const ProcessStatus& status) {
  v1::State state;
  state.set_phase(ToProto(status.phase));
  if (status.time_left) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*status.time_left);
    state.mutable_time_left()->set_seconds(seconds.count());
    state.mutable_time_left()->set_nanos(static_cast<int>((*status.time_left - seconds).count()));
  }
  state.set_drained(status.drained);
  state.set_connections(status.load.connections);
  state.set_calls(status.load.calls);
  state.set_streams(status.load.streams);
  state.set_hinted_calls(status.load.hinted);
  return state;
}

grpc::Status Error(const absl::Status& status, const std::string& reason) {
  return rpc::ToGrpc(rpc::WithErrorInfo(status, "admin.v1", reason));
}

grpc::Status Starting() {
  return Error(absl::UnavailableError("the process is not serving yet"), "STARTING");
}

}  // namespace

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest*,
                                 grpc::ServerWriter<v1::DrainResponse>* writer) {
  if (process_.phase() == Phase::kStarting) return Starting();
  const lifecycle::ManualDrain::Id drain = process_.manual_drain().Request();
  DrainNews news;
  while (!context->IsCancelled()) {
    if (process_.manual_drain().TakenBack(drain)) {
      return Error(absl::AbortedError("the drain was undone"), "UNDRAINED");
    }
    const ProcessStatus now = process_.Look();
    if (news.IsNews(now, lifecycle::Clock::Steady().Now())) {
      v1::DrainResponse response;
      *response.mutable_state() = ToProto(now);
      if (!writer->Write(response)) break;
    }
    // A shutdown does not stay where a manual drain does, and this server closes long after
    // that.
    if (now.drained || now.phase > Phase::kDrainingConnections) return grpc::Status::OK;
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any().wait_for(lock, closing_, kLookInterval, [] { return false; });
  }
  return grpc::Status::CANCELLED;
}

grpc::Status AdminService::Undrain(grpc::ServerContext*, const v1::UndrainRequest*,
                                   v1::UndrainResponse* response) {
  if (process_.phase() == Phase::kStarting) return Starting();
  if (const absl::Status undone = process_.manual_drain().Undo(); !undone.ok()) {
    return Error(undone, "UNDRAIN_TOO_LATE");
  }
  *response->mutable_state() = ToProto(process_.Look());
  return grpc::Status::OK;
}

grpc::Status AdminService::GetState(grpc::ServerContext*, const v1::GetStateRequest*,
                                    v1::GetStateResponse* response) {
  *response->mutable_state() = ToProto(process_.Look());
  return grpc::Status::OK;
}

}  // namespace admin
