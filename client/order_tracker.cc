#include "client/order_tracker.h"

#include <utility>

#include "client/error_details.h"
#include "client/retry.h"
#include "grpcpp/client_context.h"

namespace client {

using orders::v1::Order;
using orders::v1::TrackOrdersRequest;
using orders::v1::TrackOrdersResponse;

OrderTracker::OrderTracker(const Connection& connection, Stub& stub)
    : connection_(connection), stub_(stub) {}

// A write that fails needs no care: the stream is broken, and the next one is sent
// everything that is followed.

void OrderTracker::Add(const std::vector<std::string>& order_ids) {
  const std::lock_guard lock(mutex_);
  TrackOrdersRequest request;
  for (const std::string& id : order_ids) {
    if (told_.try_emplace(id).second) request.add_add_order_ids(id);
  }
  if (stream_ != nullptr && request.add_order_ids_size() > 0) stream_->Write(request);
}

void OrderTracker::Remove(const std::vector<std::string>& order_ids) {
  const std::lock_guard lock(mutex_);
  TrackOrdersRequest request;
  for (const std::string& id : order_ids) {
    if (told_.erase(id) > 0) request.add_remove_order_ids(id);
  }
  if (stream_ != nullptr && request.remove_order_ids_size() > 0) stream_->Write(request);
}

StreamEnd OrderTracker::Run(const std::function<void(const Order&)>& on_change,
                            std::stop_token stop) {
  Retry retry(connection_.retry(), connection_.clock(), stop);
  std::string resume_token;
  absl::Status status;
  do {
    grpc::ClientContext context;
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    const auto stream = stub_.TrackOrders(&context);
    Attach(stream.get());
    TrackOrdersResponse response;
    while (!stop.stop_requested() && stream->Read(&response)) {
      retry.Succeeded();
      resume_token = response.resume_token();
      if (IsNews(response.order())) on_change(response.order());
    }
    Detach();
    status = FromGrpc(stream->Finish());
    if (auto token = ErrorMetadata(status, "resume_token")) resume_token = *std::move(token);
  } while (retry.AwaitNext(status));
  return {stop.stop_requested() ? absl::OkStatus() : status, resume_token};
}

void OrderTracker::Attach(Stream* stream) {
  const std::lock_guard lock(mutex_);
  stream_ = stream;
  TrackOrdersRequest request;
  for (const auto& [id, told] : told_) request.add_add_order_ids(id);
  if (!told_.empty()) stream_->Write(request);
}

void OrderTracker::Detach() {
  const std::lock_guard lock(mutex_);
  stream_ = nullptr;
}

bool OrderTracker::IsNews(const Order& order) {
  std::string now = order.SerializeAsString();
  const std::lock_guard lock(mutex_);
  const auto followed = told_.find(order.order_id());
  if (followed == told_.end() || followed->second == now) return false;
  followed->second = std::move(now);
  return true;
}

}  // namespace client
