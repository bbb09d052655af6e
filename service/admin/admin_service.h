#ifndef SERVICE_ADMIN_ADMIN_SERVICE_H_
#define SERVICE_ADMIN_ADMIN_SERVICE_H_

#include <stop_token>
#include <utility>

#include "admin/v1/admin.grpc.pb.h"
#include "service/lifecycle/process.h"

namespace admin {

// Implements proto/admin/v1/admin.proto for one process.
//
// Uses gRPC's sync API: its handlers block, for the few operators there are, each on its own thread
// rather than on one of the few callback threads.
//
// Threads: gRPC's.
// Lifetime: `process` outlives it, and it is not called after the process has closed everything
// (Process::Look()).
class AdminService final : public v1::AdminService::Service {
 public:
  // Open streams end soon after a stop is requested on `closing`.
  AdminService(lifecycle::Process& process, std::stop_token closing)
      : process_(process), closing_(std::move(closing)) {}

  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     grpc::ServerWriter<v1::DrainResponse>* writer) override;
  grpc::Status Undrain(grpc::ServerContext* context, const v1::UndrainRequest* request,
                       v1::UndrainResponse* response) override;
  grpc::Status GetState(grpc::ServerContext* context, const v1::GetStateRequest* request,
                        v1::GetStateResponse* response) override;

 private:
  lifecycle::Process& process_;
  const std::stop_token closing_;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_ADMIN_SERVICE_H_
