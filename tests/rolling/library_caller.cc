#include "tests/rolling/library_caller.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/error_details.h"
#include "client/orders/orders_client.h"
#include "tests/rolling/load.h"

namespace rolling::library {
namespace {

using orders::v1::Order;

std::unique_ptr<client::OrdersClient> Client(const Target& target, Tally& tally) {
  client::ClientOptions options;
  options.credentials = target.Credentials();
  if (target.tls()) options.server_name = Target::kServerName;
  options.timeout = kCallLimit;
  options.retry.on_retry = [&tally](const client::Interruption& interruption) {
    if (client::ErrorReason(interruption.why) == "SERVER_DRAINING") {
      tally.Resumed();
    } else {
      tally.Retried();
    }
  };
  auto client = client::OrdersClient::Create(target.uri, std::move(options));
  if (!client.ok()) std::abort();  // Only a target that is no target.
  return *std::move(client);
}

void CountEnd(const char* method, const absl::Status& end, Tally& tally) {
  if (!end.ok()) tally.Failed(std::string(method) + ": " + client::Describe(end));
}

}  // namespace

void PlaceAndRead(const Target& target, std::chrono::milliseconds think_time, Tally& tally,
                  Evidence& evidence, const std::stop_token& stop) {
  const auto client = Client(target, tally);
  for (OrderMaker orders; !stop.stop_requested(); Pause(think_time, stop)) {
    const orders::v1::PlaceOrderRequest request = orders.Next();
    const absl::StatusOr<Order> placed = client->PlaceOrder(request);
    CountEnd("PlaceOrder", placed.status(), tally);
    if (!placed.ok()) continue;
    tally.Answered();
    evidence.acknowledged.Add({request.request_id(), placed->order_id()});
    for (int read = 0; read < kReadsPerOrder && !stop.stop_requested(); ++read) {
      Pause(think_time, stop);
      const absl::StatusOr<Order> found = client->GetOrder(placed->order_id());
      CountEnd("GetOrder", found.status(), tally);
      if (!found.ok()) continue;
      if (found->request_id() == request.request_id()) {
        tally.Answered();
      } else {
        tally.Failed("GetOrder: another order");
      }
    }
  }
}

void Watch(const Target& target, Tally& tally, Journal<Event>& told, const std::stop_token& stop) {
  const auto client = Client(target, tally);
  const client::StreamEnd end = client->WatchOrders(
      {.resume_token = "start"},
      [&](const orders::v1::WatchOrdersResponse::Event& event) {
        tally.Answered();
        told.Add({event.order().order_id(), event.order().state()});
        return true;
      },
      stop);
  CountEnd("WatchOrders", end.status, tally);
}

void Import(const Target& target, Tally& tally, Evidence& evidence, const std::stop_token& stop) {
  const auto client = Client(target, tally);
  OrderMaker orders;
  std::vector<std::string> sent;  // Request ids, in order.
  std::size_t stored = 0;
  const auto know_stored = [&](std::int64_t durable) {
    for (; stored < static_cast<std::size_t>(durable); ++stored) {
      tally.Answered();
      evidence.acknowledged.Add({sent[stored], ""});
    }
  };
  const client::ImportEnd end = client->ImportOrders(
      [&] {
        Pause(kThinkTime, stop);
        orders::v1::PlaceOrderRequest order = orders.Next();
        sent.push_back(order.request_id());
        return order;
      },
      {.orders_per_stream = 50,
       .on_progress =
           [&](const client::ImportProgress& progress) { know_stored(progress.durable); }},
      stop);
  know_stored(end.durable_orders);
  // CANCELLED says that the source had more.
  if (!absl::IsCancelled(end.status)) CountEnd("ImportOrders", end.status, tally);
  if (stored != sent.size()) tally.Failed("ImportOrders: less is stored than was sent");
}

void Track(const Target& target, Tally& tally, const Journal<Acknowledged>& placed,
           Tracked& tracked, const std::stop_token& stop) {
  const auto client = Client(target, tally);
  const auto tracker = client->TrackOrders();
  const std::jthread adding([&](const std::stop_token& enough) {
    for (std::size_t next = 0; !enough.stop_requested(); Pause(kThinkTime, enough)) {
      const std::vector<Acknowledged> all = placed.From(next);
      next += all.size();
      // Not each: a tracker is for some.
      if (all.empty() || all.back().order_id.empty()) continue;
      tracked.order_ids.Add(all.back().order_id);
      tracker->Add({all.back().order_id});
    }
  });
  const client::StreamEnd end = tracker->Run(
      [&](const Order& order) {
        tally.Answered();
        tracked.events.Add({order.order_id(), order.state()});
        // A call follows 10,000 orders at most, and a long run has more.
        if (order.state() != orders::v1::ORDER_STATE_PLACED) tracker->Remove({order.order_id()});
        return true;
      },
      stop);
  CountEnd("TrackOrders", end.status, tally);
}

}  // namespace rolling::library
