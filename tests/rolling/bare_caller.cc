#include "tests/rolling/bare_caller.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "absl/status/status.h"
#include "client/error_details.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "orders/v1/orders.grpc.pb.h"
#include "tests/common/runfiles.h"
#include "tests/rolling/load.h"

namespace rolling {

using orders::v1::OrdersService;

namespace {

google::protobuf::Struct Parsed(const std::string& json) {
  google::protobuf::Struct parsed;
  if (!google::protobuf::util::JsonStringToMessage(json, &parsed).ok()) std::abort();
  return parsed;
}

std::string Printed(const google::protobuf::Struct& parsed) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(parsed, &json).ok()) std::abort();
  return json;
}

// Waits, and lets gRPC look at the channel's sockets meanwhile. It does so only while
// somebody waits for it: a caller that merely sleeps learns of the end of its
// connection by the next call, and may lose that one ("Broken pipe").
void PauseOn(grpc::Channel& channel, std::chrono::milliseconds duration,
             const std::stop_token& stop) {
  const auto end = std::chrono::system_clock::now() + duration;
  for (auto now = end - duration; now < end && !stop.stop_requested();
       now = std::chrono::system_clock::now()) {
    channel.WaitForStateChange(channel.GetState(/*try_to_connect=*/false),
                               std::min(end, now + std::chrono::milliseconds(100)));
  }
}

void Prepare(grpc::ClientContext& context, bool wait_for_ready) {
  context.set_wait_for_ready(wait_for_ready);
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
}

}  // namespace

std::shared_ptr<grpc::Channel> Open(const BareChannel& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, options.retries ? 1 : 0);
  // Found again soon after its restart, so that the next replica need not wait.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  if (!options.service_config.empty()) arguments.SetServiceConfigJSON(options.service_config);
  if (options.target.tls()) arguments.SetSslTargetNameOverride(Target::kServerName);
  return grpc::CreateCustomChannel(options.target.uri, options.target.Credentials(), arguments);
}

std::string ShippedConfig() {
  std::ifstream file(testkit::RunfileOrDie("client/service_config.json"));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string WithoutHealthCheck(const std::string& config) {
  google::protobuf::Struct parsed = Parsed(config);
  parsed.mutable_fields()->erase("healthCheckConfig");
  return Printed(parsed);
}

std::string WithoutRetry(const std::string& config) {
  google::protobuf::Struct parsed = Parsed(config);
  for (auto& method :
       *(*parsed.mutable_fields())["methodConfig"].mutable_list_value()->mutable_values()) {
    method.mutable_struct_value()->mutable_fields()->erase("retryPolicy");
  }
  return Printed(parsed);
}

void PlaceAndRead(const std::shared_ptr<grpc::Channel>& channel, bool wait_for_ready,
                  std::chrono::milliseconds think_time, Tally& tally, Evidence& evidence,
                  const std::stop_token& stop) {
  const auto stub = OrdersService::NewStub(channel);
  for (OrderMaker orders; !stop.stop_requested(); Pause(think_time, stop)) {
    grpc::ClientContext placing;
    Prepare(placing, wait_for_ready);
    const orders::v1::PlaceOrderRequest request = orders.Next();
    orders::v1::PlaceOrderResponse placed;
    grpc::Status status = stub->PlaceOrder(&placing, request, &placed);
    if (!status.ok()) {
      tally.Failed("PlaceOrder: " + client::Describe(client::FromGrpc(status)));
      continue;
    }
    tally.Answered();
    evidence.acknowledged.Add({request.request_id(), placed.order().order_id()});

    for (int read = 0; read < kReadsPerOrder && !stop.stop_requested(); ++read) {
      Pause(think_time, stop);
      grpc::ClientContext reading;
      Prepare(reading, wait_for_ready);
      orders::v1::GetOrderRequest get;
      get.set_order_id(placed.order().order_id());
      orders::v1::GetOrderResponse found;
      status = stub->GetOrder(&reading, get, &found);
      if (!status.ok()) {
        tally.Failed("GetOrder: " + client::Describe(client::FromGrpc(status)));
      } else if (found.order().request_id() != request.request_id()) {
        tally.Failed("GetOrder: another order");
      } else {
        tally.Answered();
      }
    }
  }
}

void Watch(const std::shared_ptr<grpc::Channel>& channel, Tally& tally, Journal<Event>& told,
           const std::stop_token& stop) {
  const auto stub = OrdersService::NewStub(channel);
  orders::v1::WatchOrdersRequest request;
  request.set_resume_token("start");
  while (!stop.stop_requested()) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    const auto reader = stub->WatchOrders(&context, request);
    orders::v1::WatchOrdersResponse message;
    while (reader->Read(&message)) {
      if (!message.resume_token().empty()) request.set_resume_token(message.resume_token());
      for (const auto& event : message.events()) {
        request.set_resume_token(event.resume_token());
        tally.Answered();
        told.Add({event.order().order_id(), event.order().state()});
      }
    }
    const absl::Status end = client::FromGrpc(reader->Finish());
    if (stop.stop_requested()) return;
    if (client::ErrorReason(end) == "SERVER_DRAINING") {
      tally.Resumed();
    } else {
      tally.Failed("WatchOrders: " + client::Describe(end));
    }
    PauseOn(*channel, client::RetryDelay(end).value_or(std::chrono::milliseconds(100)), stop);
  }
}

}  // namespace rolling
