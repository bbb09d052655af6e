#include "service/rpc/connections/goaway.h"

#include "grpc/grpc.h"
#include "grpc/support/time.h"
#include "service/lifecycle/last_resort/precondition.h"

// grpc_core::Server::SendGoaways(). A member function without arguments is called like a
// function of `this`, and grpc_core::Server::FromC() is a plain cast (Itanium C++ ABI;
// gRPC 1.51 and 1.83).
extern "C" void grpc_core_server_send_goaways(grpc_server* server) __asm__(
    "_ZN9grpc_core6Server11SendGoawaysEv") __attribute__((weak));

namespace rpc {

GoawaySender::GoawaySender(grpc::Server& server)
    : server_(server), under_way_(std::make_shared<std::atomic<bool>>(false)) {}

GoawaySender::~GoawaySender() {
  lifecycle::Require(Idle(), "a GoawaySender is destroyed while it sends");
}

bool GoawaySender::Available() { return grpc_core_server_send_goaways != nullptr; }

void GoawaySender::Send() {
  if (!Available() || under_way_->exchange(true)) return;
  // gRPC runs an alarm's callback where its own closures run: with an ExecCtx, without
  // which SendGoaways() crashes. Long overdue: gRPC's timers would round up.
  alarm_.emplace().Set(gpr_time_0(GPR_CLOCK_MONOTONIC),
                       [under_way = under_way_, core = server_.c_server()](bool) {
                         grpc_core_server_send_goaways(core);
                         *under_way = false;
                       });
}

bool GoawaySender::Idle() const { return !*under_way_; }

}  // namespace rpc
