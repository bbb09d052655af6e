#include "service/orders/demo/watcher.h"

#include <algorithm>
#include <stop_token>
#include <utility>

namespace demo {

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Create(const std::string& target) {
  std::unique_ptr<Watcher> watcher(new Watcher());
  Watcher& it = *watcher;
  auto client = client::OrdersClient::Create(target);
  if (!client.ok()) return client.status();
  it.client_ = *std::move(client);
  it.thread_ = std::jthread([&it](std::stop_token stop) {
    it.client_->WatchOrders(
        {.resume_token = "start"},
        [&it](const orders::v1::WatchOrdersResponse::Event& event) {
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

bool Watcher::HasSeen(const std::string& order_id) const {
  std::lock_guard lock(mutex_);
  // From the end: whoever asks, asks for a recent one.
  return std::any_of(events_.rbegin(), events_.rend(),
                     [&](const Told& told) { return told.order_id == order_id; });
}

std::vector<Told> Watcher::events() const {
  std::lock_guard lock(mutex_);
  return events_;
}

}  // namespace demo
