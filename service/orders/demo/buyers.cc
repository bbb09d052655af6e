#include "service/orders/demo/buyers.h"

#include <algorithm>
#include <condition_variable>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error_details.h"

namespace demo {
namespace {

using Clock = std::chrono::steady_clock;
using orders::v1::PlaceOrderRequest;

// A few pieces of one or two SKUs.
PlaceOrderRequest SomeOrder(int buyer, const std::vector<std::string>& skus,
                            std::minstd_rand& random) {
  PlaceOrderRequest request;
  request.set_customer(absl::StrCat("buyer ", buyer));
  const std::size_t first = random() % skus.size();
  const std::size_t count = std::min<std::size_t>(1 + random() % 2, skus.size());
  for (std::size_t i = 0; i < count; ++i) {
    orders::v1::OrderItem& item = *request.add_items();
    item.set_sku(skus[(first + i) % skus.size()]);
    item.set_quantity(1 + static_cast<int>(random() % 3));
  }
  return request;
}

void Pause(std::chrono::milliseconds duration, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace

Buyers::Buyers(client::OrdersClient& client, int count, std::vector<std::string> skus,
               std::chrono::milliseconds pause)
    : client_(client), skus_(std::move(skus)), pause_(pause), answers_(count) {
  for (int number = 1; number <= count; ++number) {
    threads_.emplace_back([this, number](std::stop_token stop) { Buy(number, stop); });
  }
}

Buyers::~Buyers() { Stop(); }

void Buyers::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

std::vector<Buyers::Answers> Buyers::answers() const {
  std::lock_guard lock(mutex_);
  return answers_;
}

int Buyers::answered() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(acknowledged_.size());
}

std::chrono::milliseconds Buyers::slowest() const {
  std::lock_guard lock(mutex_);
  return slowest_;
}

void Buyers::Buy(int number, std::stop_token stop) {
  std::minstd_rand random(static_cast<unsigned>(number));
  while (!stop.stop_requested()) {
    ++waiting_;
    const Clock::time_point start = Clock::now();
    const auto order = client_.PlaceOrder(SomeOrder(number, skus_, random));
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    --waiting_;
    {
      std::lock_guard lock(mutex_);
      if (order.ok()) {
        Answers& own = answers_[number - 1];
        ++own.count;
        own.last_order_id = order->order_id();
        acknowledged_.push_back(*order);
        slowest_ = std::max(slowest_, took);
      } else {
        failures_.push_back(client::Describe(order.status()));
      }
    }
    Pause(pause_, stop);
  }
}

}  // namespace demo
