#include "client/orders/order_tracker.h"

#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "client/error_details.h"
#include "client/retry.h"
#include "grpcpp/client_context.h"

namespace client {

using orders::v1::Order;
using orders::v1::TrackOrdersRequest;
using orders::v1::TrackOrdersResponse;

namespace {

// Puts ids into requests that no server finds too large.
class Batches {
 public:
  explicit Batches(std::deque<TrackOrdersRequest>& requests) : requests_(requests) {}

  // Where the next id goes.
  TrackOrdersRequest& Next() {
    constexpr int kLargest = 1000;
    if (ids_++ % kLargest == 0) requests_.emplace_back();
    return requests_.back();
  }

 private:
  std::deque<TrackOrdersRequest>& requests_;
  int ids_ = 0;
};

// The stream was too far behind a feed whose old events are removed. A new one needs none of them: it
// begins with each order's current state.
bool IsOvertaken(const absl::Status& status) {
  return absl::IsOutOfRange(status) && ErrorReason(status) == "EVENTS_REMOVED";
}

}  // namespace

OrderTracker::OrderTracker(const Connection& connection) : connection_(connection) {}

void OrderTracker::Add(const std::vector<std::string>& order_ids) {
  const std::lock_guard lock(mutex_);
  Batches batches(unsent_);
  for (const std::string& id : order_ids) {
    if (told_.try_emplace(id).second) batches.Next().add_add_order_ids(id);
  }
  unsent_changed_.notify_all();
}

void OrderTracker::Remove(const std::vector<std::string>& order_ids) {
  const std::lock_guard lock(mutex_);
  Batches batches(unsent_);
  for (const std::string& id : order_ids) {
    if (told_.erase(id) > 0) batches.Next().add_remove_order_ids(id);
  }
  unsent_changed_.notify_all();
}

StreamEnd OrderTracker::Run(const std::function<bool(const Order&)>& on_change,
                            std::stop_token stop) {
  Retry retry(connection_.retry(), connection_.clock(), stop);
  std::string resume_token;
  absl::Status status;
  bool taken = true;
  do {
    const auto stub = orders::v1::OrdersService::NewStub(connection_.channel());
    grpc::ClientContext context;
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    const auto stream = stub->TrackOrders(&context);
    StartOver();
    std::jthread writer([&](const std::stop_token& ended) { Write(*stream, ended); });
    TrackOrdersResponse response;
    while (!stop.stop_requested() && stream->Read(&response)) {
      retry.Succeeded();
      if (IsNews(response.order()) && !on_change(response.order())) {
        Forget(response.order());
        taken = false;
        context.TryCancel();
        break;
      }
      resume_token = response.resume_token();
    }
    writer = {};  // Stopped and joined: a stream that has ended takes no more.
    status = FromGrpc(stream->Finish());
    if (!taken) return {absl::OkStatus(), resume_token};
    if (auto token = ErrorMetadata(status, "resume_token")) resume_token = *std::move(token);
  } while (retry.AwaitNext(IsOvertaken(status) ? absl::OkStatus() : status));
  return {stop.stop_requested() ? absl::OkStatus() : status, resume_token};
}

void OrderTracker::StartOver() {
  const std::lock_guard lock(mutex_);
  unsent_.clear();
  Batches batches(unsent_);
  for (const auto& [id, told] : told_) batches.Next().add_add_order_ids(id);
}

void OrderTracker::Write(Stream& stream, const std::stop_token& ended) {
  std::unique_lock lock(mutex_);
  while (unsent_changed_.wait(lock, ended, [this] { return !unsent_.empty(); })) {
    const TrackOrdersRequest request = std::move(unsent_.front());
    unsent_.pop_front();
    lock.unlock();
    // Broken: the next stream is sent everything that is followed.
    if (!stream.Write(request)) return;
    lock.lock();
  }
}

bool OrderTracker::IsNews(const Order& order) {
  std::string now = order.SerializeAsString();
  const std::lock_guard lock(mutex_);
  const auto followed = told_.find(order.order_id());
  if (followed == told_.end() || followed->second == now) return false;
  followed->second = std::move(now);
  return true;
}

void OrderTracker::Forget(const Order& order) {
  const std::lock_guard lock(mutex_);
  const auto followed = told_.find(order.order_id());
  if (followed != told_.end()) followed->second.clear();
}

}  // namespace client
