#include "service/orders/demo/watcher.h"

#include <stop_token>
#include <utility>

#include "client/error_details.h"

namespace demo {

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Create(const std::string& target) {
  std::unique_ptr<Watcher> watcher(new Watcher());
  Watcher& it = *watcher;
  client::ClientOptions options;
  options.retry.on_retry = [&it](const client::Interruption& interruption) {
    it.broken_ = true;
    if (client::ErrorReason(interruption.why) == "SERVER_DRAINING") ++it.goodbyes_;
  };
  auto client = client::OrdersClient::Create(target, std::move(options));
  if (!client.ok()) return client.status();
  it.client_ = *std::move(client);
  it.thread_ = std::jthread([&it](std::stop_token stop) {
    it.client_->WatchOrders(
        {.resume_token = "start"},
        [&it](const orders::v1::WatchOrdersResponse::Event& event) {
          if (it.broken_.exchange(false)) ++it.resumed_;
          {
            std::lock_guard lock(it.mutex_);
            it.events_.push_back({event.order().order_id(), event.order().state()});
          }
          ++it.seen_;
          return true;
        },
        stop);
  });
  return watcher;
}

Watcher::~Watcher() = default;

std::vector<Told> Watcher::events() const {
  std::lock_guard lock(mutex_);
  return events_;
}

}  // namespace demo
