#ifndef SERVICE_ADMIN_ADMIN_SERVER_H_
#define SERVICE_ADMIN_ADMIN_SERVER_H_

#include "absl/status/status.h"
#include "service/admin/admin_service.h"
#include "service/lifecycle/process.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"

namespace admin {

// The server for operators: a second server in the process, which stays available while the first
// one drains.
//
// Guarantees: it is closed after everything else that the process has opened, and delays the
// shutdown only for a moment, whoever is connected.
//
// Requires: started before anything else is registered with `process`.
// Threads and lifetime: used on main's thread; declared after `process`, before everything else.
class AdminServer {
 public:
  // Does nothing if the address is empty.
  AdminServer(lifecycle::Process& process, rpc::ServerHost::Options options);

  // Errors: those of ServerHost::Start() and OpenListener().
  absl::Status Start();

 private:
  absl::Status Close();

  lifecycle::Process& process_;
  const bool wanted_;
  rpc::GoodbyeSignal closing_;
  AdminService service_;
  rpc::ServerHost host_;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_ADMIN_SERVER_H_
