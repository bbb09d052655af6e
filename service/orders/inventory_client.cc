#include "service/orders/inventory_client.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "inventory/v1/inventory.grpc.pb.h"
#include "service/rpc/status.h"

namespace orders {
namespace {

using inventory::v1::ConfirmRequest;
using inventory::v1::ConfirmResponse;
using inventory::v1::InventoryService;
using inventory::v1::ReserveRequest;
using inventory::v1::ReserveResponse;

// How long Confirm() still waits for an answer once a shutdown is requested.
constexpr std::chrono::milliseconds kFinishItem(200);

absl::Status Unavailable() {
  absl::Status status =
      absl::UnavailableError("the inventory cannot be reached; nothing was stored, try again");
  status = rpc::WithErrorInfo(std::move(status), "orders.v1", "INVENTORY_UNAVAILABLE");
  return rpc::WithRetryInfo(std::move(status), std::chrono::milliseconds(200));
}

// What the caller of PlaceOrder is told when Reserve has failed.
absl::Status ToOrders(const absl::Status& status) {
  const auto with_reason = [&](absl::StatusCode code, const char* reason) {
    return rpc::WithErrorInfo(absl::Status(code, status.message()), "orders.v1", reason);
  };
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return absl::OkStatus();
    case absl::StatusCode::kFailedPrecondition:
      return with_reason(absl::StatusCode::kFailedPrecondition, "OUT_OF_STOCK");
    case absl::StatusCode::kNotFound:
      return with_reason(absl::StatusCode::kFailedPrecondition, "UNKNOWN_SKU");
    case absl::StatusCode::kAlreadyExists:
      return with_reason(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED");
    // CANCELLED too: when it was not the caller, whom no answer reaches, it was a
    // stopping server (grpc/grpc#41785).
    default:
      return Unavailable();
  }
}

// What a call needs until it has ended; each holds the channel open.
template <typename Request, typename Response>
struct Call {
  std::unique_ptr<InventoryService::Stub> stub;
  std::shared_ptr<grpc::ClientContext> context;
  Request request;
  Response response;
};

}  // namespace

InventoryClient::InventoryClient(const std::string& address, std::stop_token answer_now)
    : channel_({.target = address,
                .service = InventoryService::service_full_name(),
                .answer_now = std::move(answer_now)}) {}

void InventoryClient::Reserve(const grpc::CallbackServerContext& caller,
                              const v1::PlaceOrderRequest& order,
                              std::function<void(absl::Status)> done) {
  const std::shared_ptr<grpc::Channel> channel = channel_.channel();
  if (channel == nullptr) return done(Unavailable());
  auto call = std::make_shared<Call<ReserveRequest, ReserveResponse>>();
  call->stub = InventoryService::NewStub(channel);
  call->context = channel_.NewContext(caller);
  call->request.set_reservation_id(ReservationId(order.request_id()));
  for (const v1::OrderItem& item : order.items()) {
    inventory::v1::ReservationItem& reserved = *call->request.add_items();
    reserved.set_sku(item.sku());
    reserved.set_quantity(item.quantity());
  }
  call->stub->async()->Reserve(call->context.get(), &call->request, &call->response,
                               [call, done = std::move(done)](grpc::Status status) {
                                 call->context.reset();
                                 call->stub.reset();
                                 done(ToOrders(rpc::FromGrpc(status)));
                               });
}

std::string InventoryClient::ReservationId(const std::string& request_id) {
  return "order/" + request_id;
}

absl::Status InventoryClient::Confirm(const std::string& reservation_id, std::stop_token stop) {
  const std::shared_ptr<grpc::Channel> channel = channel_.channel();
  if (channel == nullptr) return absl::UnavailableError("the inventory channel is closed");
  Call<ConfirmRequest, ConfirmResponse> call;
  call.stub = InventoryService::NewStub(channel);
  call.context = channel_.NewContext();
  call.request.set_reservation_id(reservation_id);

  std::mutex mutex;
  std::condition_variable_any answered;
  std::optional<grpc::Status> answer;
  call.stub->async()->Confirm(call.context.get(), &call.request, &call.response,
                              [&](grpc::Status status) {
                                std::lock_guard lock(mutex);
                                answer = std::move(status);
                                answered.notify_all();
                              });
  const auto has_answer = [&] { return answer.has_value(); };
  std::unique_lock lock(mutex);
  if (!answered.wait(lock, std::move(stop), has_answer)) {
    if (!answered.wait_for(lock, kFinishItem, has_answer)) {
      lock.unlock();
      call.context->TryCancel();
      lock.lock();
      answered.wait(lock, has_answer);
    }
  }
  return rpc::FromGrpc(*answer);
}

}  // namespace orders
