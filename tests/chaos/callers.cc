#include "tests/chaos/callers.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error_details.h"
#include "client/retry.h"

namespace chaos {
namespace {

using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr int kPlacers = 4;
constexpr int kWatchers = 2;
constexpr milliseconds kBetweenCalls{2};
constexpr milliseconds kBeforeAgain{50};
constexpr int kImported = 60;        // At once,
constexpr int kImportStream = 25;    // and in one stream.
constexpr std::size_t kRecent = 40;  // Orders that are read and cancelled.
constexpr std::size_t kTracked = 2000;
// How long a call is repeated once all is well again.
constexpr seconds kPatience{60};

PlaceOrderRequest SomeOrder(const std::string& customer, Random& random) {
  static const std::vector<std::string> skus = {"apple", "banana", "cherry"};
  PlaceOrderRequest request;
  request.set_request_id(client::NewRequestId());
  request.set_customer(customer);
  const std::size_t first = random() % skus.size();
  for (std::size_t i = 0; i < 1 + random() % 2; ++i) {
    orders::v1::OrderItem& item = *request.add_items();
    item.set_sku(skus[(first + i) % skus.size()]);
    item.set_quantity(1 + static_cast<int>(random() % 3));
  }
  return request;
}

// Whether a call is worth repeating: for ever while there are faults, which is until `stop`.
class Patience {
 public:
  explicit Patience(std::stop_token stop) : stop_(std::move(stop)) {}

  // Waits a moment.
  bool Left() {
    std::this_thread::sleep_for(kBeforeAgain);
    if (!stop_.stop_requested()) return true;
    if (end_ == Clock::time_point::max()) end_ = Clock::now() + kPatience;
    return Clock::now() < end_;
  }

 private:
  const std::stop_token stop_;
  Clock::time_point end_ = Clock::time_point::max();  // Unknown until it is requested.
};

}  // namespace

Callers::Callers(const std::string& target, unsigned seed, Tally& tally) : tally_(tally) {
  const auto add = [&](std::vector<std::jthread>& threads, auto body) {
    clients_.push_back(NewClient(target));
    threads.emplace_back([body, &client = *clients_.back()](std::stop_token stop) {
      body(client, std::move(stop));
    });
  };
  for (int i = 1; i <= kWatchers; ++i) {
    add(followers_, [this, name = absl::StrCat("watcher ", i)](auto& client, std::stop_token stop) {
      Watch(client, name, std::move(stop));
    });
  }
  clients_.push_back(NewClient(target));
  tracker_ = clients_.back()->TrackOrders();
  followers_.emplace_back(
      [this](std::stop_token stop) { Track(*tracker_, "tracker", std::move(stop)); });
  for (int i = 1; i <= kPlacers; ++i) {
    add(askers_, [this, seed, i](auto& client, std::stop_token stop) {
      Place(client, absl::StrCat("placer ", i), seed + static_cast<unsigned>(i), std::move(stop));
    });
  }
  add(askers_, [this, seed](auto& client, std::stop_token stop) {
    Import(client, seed + 100, std::move(stop));
  });
  add(askers_, [this, seed](auto& client, std::stop_token stop) {
    Cancel(client, seed + 101, std::move(stop));
  });
  add(askers_, [this, seed](auto& client, std::stop_token stop) {
    Read(client, seed + 102, std::move(stop));
  });
}

Callers::~Callers() { Stop(); }

Callers::Client Callers::NewClient(const std::string& target) {
  // Shorter than what a caller at a terminal has, so that calls are given up in the middle.
  auto client = client::OrdersClient::Create(target, {.timeout = seconds(3)});
  if (client.ok()) return *std::move(client);
  std::fprintf(stderr, "%s\n", client::Describe(client.status()).c_str());
  std::abort();
}

void Callers::StopAsking() {
  for (std::jthread& thread : askers_) thread.request_stop();
  askers_.clear();
}

Journal Callers::Stop() {
  StopAsking();
  for (std::jthread& thread : followers_) thread.request_stop();
  followers_.clear();
  std::lock_guard lock(mutex_);
  return journal_;
}

bool Callers::HaveSeen(std::size_t events,
                       const std::map<std::string, orders::v1::OrderState>& states) {
  std::lock_guard lock(mutex_);
  for (const auto& [name, told] : journal_.watched) {
    if (told.size() < events) return false;
  }
  for (const auto& [name, told] : journal_.tracked) {
    std::map<std::string, orders::v1::OrderState> last;
    for (const rolling::Event& event : told) last[event.order_id] = event.state;
    for (const std::string& id : journal_.followed) {
      const auto stored = states.find(id);
      if (stored != states.end() && last[id] != stored->second) return false;
    }
  }
  return true;
}

bool Callers::MayRepeat(const std::string& what, const absl::Status& status) {
  {
    std::lock_guard lock(mutex_);
    ++journal_.failures[absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                                     client::ErrorReason(status))];
  }
  if (client::Retry::MayCure(status) || absl::IsDeadlineExceeded(status)) return true;
  tally_.Violation(absl::StrCat(what, ": ", client::Describe(status)));
  return false;
}

absl::StatusOr<Order> Callers::Ask(const std::string& name, std::stop_token stop,
                                   const std::function<absl::StatusOr<Order>()>& call) {
  Patience patience(std::move(stop));
  absl::StatusOr<Order> order = call();
  while (!order.ok() && MayRepeat(name, order.status()) && patience.Left()) order = call();
  if (order.ok()) {
    std::lock_guard lock(mutex_);
    ++journal_.calls;
  } else {
    tally_.Violation(absl::StrCat(name, " was not answered: ", client::Describe(order.status())));
  }
  return order;
}

std::string Callers::Some(Random& random) {
  std::lock_guard lock(mutex_);
  if (known_.empty()) return "";
  const std::size_t recent = std::min(known_.size(), kRecent);
  return known_[known_.size() - 1 - random() % recent];
}

void Callers::Place(client::OrdersClient& client, const std::string& name, unsigned seed,
                    std::stop_token stop) {
  Random random(seed);
  while (!stop.stop_requested()) {
    const PlaceOrderRequest request = SomeOrder(name, random);
    const absl::StatusOr<Order> order = Ask(name, stop, [&] { return client.PlaceOrder(request); });
    if (!order.ok()) continue;
    std::unique_lock lock(mutex_);
    journal_.acknowledged.push_back({request.request_id(), order->order_id()});
    known_.push_back(order->order_id());
    const bool follow = known_.size() <= kTracked;
    if (follow) journal_.followed.insert(order->order_id());
    lock.unlock();
    if (follow) tracker_->Add({order->order_id()});
    std::this_thread::sleep_for(kBetweenCalls);
  }
}

void Callers::Import(client::OrdersClient& client, unsigned seed, std::stop_token stop) {
  Random random(seed);
  while (!stop.stop_requested()) {
    std::vector<PlaceOrderRequest> orders;
    for (int i = 0; i < kImported; ++i) orders.push_back(SomeOrder("importer", random));
    const auto import = [&] {
      const auto source = [at = orders.begin(), &orders]() mutable {
        return at == orders.end() ? std::nullopt : std::optional(*at++);
      };
      return client.ImportOrders(source, {.orders_per_stream = kImportStream});
    };
    Patience patience(stop);
    client::ImportEnd end = import();
    while (!end.status.ok() && MayRepeat("importer", end.status) && patience.Left()) {
      end = import();
    }
    if (!end.status.ok() || end.durable_orders != kImported) {
      tally_.Violation(absl::StrCat("the importer was told of ", end.durable_orders, " orders of ",
                                    kImported, ": ", end.status.ToString()));
    }
    std::lock_guard lock(mutex_);
    journal_.calls += end.status.ok() ? 1 : 0;
    for (const PlaceOrderRequest& each : orders) {
      journal_.acknowledged.push_back({each.request_id(), ""});
    }
  }
}

void Callers::Cancel(client::OrdersClient& client, unsigned seed, std::stop_token stop) {
  Random random(seed);
  for (; !stop.stop_requested(); std::this_thread::sleep_for(Between(random, 5, 60))) {
    const std::string id = Some(random);
    if (id.empty()) continue;
    {
      std::lock_guard lock(mutex_);
      journal_.cancelled.insert(id);
    }
    const absl::StatusOr<Order> order =
        Ask("canceller", stop, [&] { return client.CancelOrder(id); });
    if (order.ok() && order->state() != orders::v1::ORDER_STATE_CANCELLED) {
      tally_.Violation(absl::StrCat("order ", id, " was not cancelled"));
    }
  }
}

void Callers::Read(client::OrdersClient& client, unsigned seed, std::stop_token stop) {
  Random random(seed);
  std::map<std::string, orders::v1::OrderState> last;
  for (; !stop.stop_requested(); std::this_thread::sleep_for(kBetweenCalls)) {
    const std::string id = Some(random);
    if (id.empty()) continue;
    const absl::StatusOr<Order> order = Ask("reader", stop, [&] { return client.GetOrder(id); });
    if (!order.ok()) continue;
    if (order->order_id() != id) {
      tally_.Violation(absl::StrCat("order ", id, " was asked for, answered ", order->order_id()));
    }
    if (order->state() < last[id]) {
      tally_.Violation(absl::StrCat("order ", id, " was ", last[id], " and is ", order->state()));
    }
    last[id] = order->state();
  }
}

void Callers::Watch(client::OrdersClient& client, const std::string& name, std::stop_token stop) {
  {
    std::lock_guard lock(mutex_);
    journal_.watched[name];
  }
  std::string token = "start";
  while (!stop.stop_requested()) {
    const client::StreamEnd end = client.WatchOrders(
        {.resume_token = token},
        [&](const orders::v1::WatchOrdersResponse::Event& event) {
          std::lock_guard lock(mutex_);
          journal_.watched[name].push_back({event.order().order_id(), event.order().state()});
          return true;
        },
        stop);
    if (!end.status.ok() && !MayRepeat(name, end.status)) return;
    token = end.resume_token;
  }
}

void Callers::Track(client::OrderTracker& tracker, const std::string& name, std::stop_token stop) {
  {
    std::lock_guard lock(mutex_);
    journal_.tracked[name];
  }
  while (!stop.stop_requested()) {
    const client::StreamEnd end = tracker.Run(
        [&](const Order& order) {
          std::lock_guard lock(mutex_);
          journal_.tracked[name].push_back({order.order_id(), order.state()});
          return true;
        },
        stop);
    if (!end.status.ok() && !MayRepeat(name, end.status)) return;
  }
}

}  // namespace chaos
