#include "client/testing/fake_server.h"

#include <condition_variable>

#include "google/protobuf/any.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"

namespace client {
namespace {

google::rpc::ErrorInfo Info(const std::string& reason,
                            const std::map<std::string, std::string>& metadata) {
  google::rpc::ErrorInfo info;
  info.set_domain("fake.v1");
  info.set_reason(reason);
  info.mutable_metadata()->insert(metadata.begin(), metadata.end());
  return info;
}

template <class... Details>
grpc::Status WithDetails(grpc::StatusCode code, const std::string& message,
                         const Details&... details) {
  google::rpc::Status all;
  all.set_code(code);
  all.set_message(message);
  const bool packed = (all.add_details()->PackFrom(details) && ...);
  return packed ? grpc::Status(code, message, all.SerializeAsString())
                : grpc::Status(grpc::StatusCode::INTERNAL, "cannot pack the details");
}

}  // namespace

FakeServer::FakeServer(Health health, const std::vector<grpc::Service*>& services)
    : FakeServer(health, services, "127.0.0.1:0", grpc::InsecureServerCredentials()) {}

FakeServer::FakeServer(const std::string& address,
                       const std::shared_ptr<grpc::ServerCredentials>& tls)
    : FakeServer(Health::kNone, {}, address, tls) {}

FakeServer::FakeServer(Health health, const std::vector<grpc::Service*>& services,
                       const std::string& address,
                       const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc::EnableDefaultHealthCheckService(health == Health::kServed);
  grpc::ServerBuilder builder;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(address, credentials, &port);
  builder.RegisterService(&admin);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeServer::~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

void FakeServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus("", serving);
}

void AwaitStop(std::stop_token stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait(lock, std::move(stop), [] { return false; });
}

grpc::Status Goodbye(const std::string& key, const std::string& value, int retry_seconds) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(retry_seconds);
  return WithDetails(grpc::StatusCode::UNAVAILABLE, "the server is stopping",
                     Info("SERVER_DRAINING", {{key, value}}), retry);
}

grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata) {
  return WithDetails(code, message, Info(reason, metadata));
}

grpc::Status BadRequest(const std::vector<std::pair<std::string, std::string>>& violations) {
  google::rpc::BadRequest bad;
  for (const auto& [field, description] : violations) {
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
  }
  return WithDetails(grpc::StatusCode::INVALID_ARGUMENT, "the request is wrong", bad);
}

}  // namespace client
