#include "client/admin_client.h"

#include <utility>

#include "client/clock.h"
#include "client/error_details.h"
#include "grpcpp/client_context.h"

namespace client {

using admin::v1::AdminService;
using admin::v1::DrainRequest;
using admin::v1::DrainResponse;
using admin::v1::GetStateRequest;
using admin::v1::State;
using admin::v1::UndrainRequest;

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Create(const std::string& target,
                                                                 ClientOptions options) {
  auto connection = Connection::Create(target, std::move(options));
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<AdminClient>(new AdminClient(*std::move(connection)));
}

AdminClient::AdminClient(Connection connection) : connection_(std::move(connection)) {}

absl::Status AdminClient::Drain(const std::function<bool(const State&)>& on_state,
                                std::optional<std::chrono::milliseconds> limit) {
  const auto channel = connection_.channel();
  const auto stub = AdminService::NewStub(channel);
  grpc::ClientContext context;
  if (limit) context.set_deadline(std::chrono::system_clock::now() + AtMostAYear(*limit));
  const auto reader = stub->Drain(&context, DrainRequest());
  DrainResponse response;
  bool asked = false;
  while (reader->Read(&response)) {
    asked = true;
    if (on_state(response.state())) continue;
    context.TryCancel();
    reader->Finish();
    return absl::OkStatus();
  }
  const grpc::Status end = reader->Finish();
  return asked || !limit ? FromGrpc(end) : connection_.Explain(end, channel, *limit);
}

absl::StatusOr<State> AdminClient::Undrain() {
  const auto response =
      connection_.Call<AdminService>(&AdminService::StubInterface::Undrain, UndrainRequest());
  if (!response.ok()) return response.status();
  return response->state();
}

absl::StatusOr<State> AdminClient::GetState() {
  const auto response =
      connection_.Call<AdminService>(&AdminService::StubInterface::GetState, GetStateRequest());
  if (!response.ok()) return response.status();
  return response->state();
}

}  // namespace client
