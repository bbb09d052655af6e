// Nothing breaks, but there is always as much to do as the server takes: callers place one order
// after the other, on disks that need their time for each commit, for longer than a reservation
// lives. Everything acknowledged must be stored and confirmed, and what is sold must be in stock.
//
//   bazelw test //tests/chaos:eleven_minutes --test_output=streamed
//   bazelw run -c opt //tests/chaos:steady_load -- --callers=16 --duration=2m

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/error_details.h"
#include "client/orders/inventory_client.h"
#include "client/orders/orders_client.h"
#include "client/retry.h"
#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"
#include "tests/chaos/faults.h"
#include "tests/chaos/server.h"
#include "tests/common/temp_dir.h"
#include "tests/rolling/evidence.h"
#include "tests/rolling/invariants.h"

ABSL_FLAG(int, callers, 64, "How many place orders at a time.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(10), "For how long.");
ABSL_FLAG(absl::Duration, sync_delay, absl::Milliseconds(2),
          "How much longer each fdatasync() lasts, as on a disk that keeps its promises.");

namespace chaos {
namespace {

using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

// How long an order may wait for its confirmation, once nobody places another.
constexpr seconds kSettle{100};

double SecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

PlaceOrderRequest NewOrder() {
  PlaceOrderRequest request;
  request.set_request_id(client::NewRequestId());
  request.set_customer("Ada");
  orders::v1::OrderItem& item = *request.add_items();
  item.set_sku("tea");
  item.set_quantity(1);
  return request;
}

class SteadyLoad {
 public:
  explicit SteadyLoad(std::string target) : target_(std::move(target)) {}

  void Run(int callers, Clock::duration duration) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < callers; ++i) {
      threads.emplace_back([this](const std::stop_token& stop) { Place(stop); });
    }
    threads.emplace_back([this](const std::stop_token& stop) { Sample(stop); });
    std::printf("%10s %10s %10s %16s\n", "second", "orders/s", "refused/s", "confirmed after");
    const Clock::time_point patience = Clock::now() + seconds(30);
    while (acknowledged_.size() == 0 && Clock::now() < patience) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    const Clock::time_point begun = Clock::now();
    printed_ = static_cast<std::int64_t>(acknowledged_.size());
    while (Clock::now() < begun + duration) {
      const Clock::time_point row = Clock::now();
      std::this_thread::sleep_until(std::min(row + seconds(60), begun + duration));
      const double took = SecondsSince(row);
      const std::int64_t placed = PrintRow(SecondsSince(begun), took);
      constexpr double kLongEnough = 2;
      if (placed == 0 && took >= kLongEnough) {
        failures_.Add(absl::StrCat("nothing was placed in ", took, " s"));
      }
    }
    for (std::jthread& thread : threads) thread.request_stop();
  }

  // Compares what was acknowledged with what is stored, once all of it is confirmed.
  rolling::Violations Judge(const std::string& inventory) {
    absl::StatusOr<std::vector<Order>> settled = Settled();
    if (!settled.ok()) return {client::Describe(settled.status())};
    const std::vector<Order> orders = *std::move(settled);
    const auto stock = Stock(inventory);
    if (!stock.ok()) return {client::Describe(stock.status())};
    std::map<std::string, std::int64_t> states;
    for (const Order& order : orders) ++states[orders::v1::OrderState_Name(order.state())];
    for (const auto& [name, count] : states) {
      std::printf("%10ld %s\n", static_cast<long>(count), name.c_str());
    }
    rolling::Violations violations = rolling::CheckOrders(orders, acknowledged_.All());
    const auto add = [&violations](const rolling::Violations& more) {
      violations.insert(violations.end(), more.begin(), more.end());
    };
    add(rolling::CheckStock(*stock, orders));
    add(failures_.All());
    const auto confirmed = states["ORDER_STATE_CONFIRMED"];
    if (confirmed != std::ssize(orders)) {
      violations.push_back(absl::StrCat(std::ssize(orders) - confirmed, " are not confirmed"));
    }
    return violations;
  }

 private:
  // All orders, once none waits for its confirmation, or after a while.
  absl::StatusOr<std::vector<Order>> Settled() {
    const auto client = client::OrdersClient::Create(target_);
    if (!client.ok()) return client.status();
    const Clock::time_point end = Clock::now() + kSettle;
    for (;;) {
      std::vector<Order> orders;
      bool all_settled = true;
      client::OrderList list = (*client)->ListOrders(/*page_size=*/500);
      for (;;) {
        auto order = list.Next();
        if (!order.ok()) return order.status();
        if (!*order) break;
        all_settled &= (*order)->state() != orders::v1::ORDER_STATE_PLACED;
        orders.push_back(**std::move(order));
      }
      if (all_settled || Clock::now() >= end) return orders;
    }
  }

  static absl::StatusOr<std::vector<inventory::v1::Stock>> Stock(const std::string& address) {
    const auto client = client::InventoryClient::Create(address);
    if (!client.ok()) return client.status();
    return (*client)->GetStock({});
  }

  void Place(const std::stop_token& stop) {
    const auto client = client::OrdersClient::Create(target_);
    if (!client.ok()) return failures_.Add(client::Describe(client.status()));
    while (!stop.stop_requested()) PlaceOne(**client, stop);
  }

  // Repeats it until it is acknowledged. Returns its id; empty: it is not.
  std::string PlaceOne(client::OrdersClient& client, const std::stop_token& stop) {
    const PlaceOrderRequest request = NewOrder();
    while (!stop.stop_requested()) {
      const absl::StatusOr<Order> order = client.PlaceOrder(request);
      if (order.ok()) {
        acknowledged_.Add({request.request_id(), order->order_id()});
        return order->order_id();
      }
      ++refused_;
      if (client::Retry::MayCure(order.status())) continue;
      failures_.Add(client::Describe(order.status()));
      break;
    }
    return "";
  }

  // Measures how long an order waits for its confirmation, again and again.
  void Sample(const std::stop_token& stop) {
    const auto client = client::OrdersClient::Create(target_);
    if (!client.ok()) return failures_.Add(client::Describe(client.status()));
    while (!stop.stop_requested()) {
      const std::string id = PlaceOne(**client, stop);
      const Clock::time_point placed = Clock::now();
      while (!id.empty() && !stop.stop_requested()) {
        const absl::StatusOr<Order> order = (*client)->GetOrder(id);
        if (order.ok() && order->state() != orders::v1::ORDER_STATE_PLACED) break;
        longest_ms_ = std::max(longest_ms_.load(), static_cast<int>(1000 * SecondsSince(placed)));
        std::this_thread::sleep_for(milliseconds(5));
      }
      std::this_thread::sleep_for(milliseconds(100));
    }
  }

  // Returns how many were placed since the last row.
  std::int64_t PrintRow(double second, double took) {
    const auto acknowledged = static_cast<std::int64_t>(acknowledged_.size());
    const auto placed = acknowledged - std::exchange(printed_, acknowledged);
    std::printf("%10.0f %10.0f %10.0f %13.3f s\n", second, static_cast<double>(placed) / took,
                static_cast<double>(refused_.exchange(0)) / took,
                static_cast<double>(longest_ms_.exchange(0)) / 1000);
    std::fflush(stdout);
    return placed;
  }

  const std::string target_;
  rolling::Journal<rolling::Acknowledged> acknowledged_;
  rolling::Journal<std::string> failures_;  // That no repetition cures, or has cured in time.
  std::atomic<std::int64_t> refused_{0};    // Since the last row; repeated until they were not.
  std::atomic<int> longest_ms_{0};  // Since the last row; of those that Sample() has placed.
  std::int64_t printed_ = 0;
};

bool RunAll() {
  Tally tally;
  const testkit::TempDir directory;
  Server inventory("inventory", "service/inventory/inventory",
                   {"--database=" + directory.File("inventory.sqlite3"), "--stock=tea=1000000000"},
                   tally);
  if (!inventory.Start()) return false;
  Server orders(
      "orders", "service/orders_server",
      {"--database=" + directory.File("orders.sqlite3"), "--inventory=" + inventory.address()},
      tally);
  if (!orders.Start()) return false;
  for (Server* server : {&inventory, &orders}) {
    server->disk().DelaySyncs(absl::ToChronoMicroseconds(absl::GetFlag(FLAGS_sync_delay)));
  }
  SteadyLoad load("ipv4:" + orders.address());
  load.Run(absl::GetFlag(FLAGS_callers), absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_duration)));
  for (const std::string& each : load.Judge(inventory.address())) tally.Violation(each);
  orders.Stop();
  inventory.Stop();
  std::printf("%zu violations\n", tally.violations().size());
  return tally.violations().empty();
}

}  // namespace
}  // namespace chaos

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return chaos::RunAll() ? 0 : 1;
}
