#include "tests/rolling/rolling_restart.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/inventory_client.h"
#include "client/orders_client.h"
#include "tests/rolling/bare_caller.h"
#include "tests/rolling/caller.h"
#include "tests/rolling/evidence.h"
#include "tests/rolling/fleet.h"
#include "tests/rolling/library_caller.h"
#include "tests/rolling/load.h"

namespace rolling {
namespace {

using Callers = std::vector<std::unique_ptr<Caller>>;

// Only how long a broken run takes to say so.
constexpr std::chrono::seconds kLimit{60};

// False: `done` did not come true in time.
bool Await(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

class RollingRestart {
 public:
  explicit RollingRestart(Fleet& fleet) : fleet_(fleet) {
    AddLibraryCallers();
    AddBareCallers();
  }

  Report Run(int restarts) {
    for (const auto& caller : placing_) caller->Start();
    for (const auto& caller : following_) caller->Start();
    AwaitAnswers("the start");
    for (int i = 0; i < restarts; ++i) {
      const std::size_t replica = static_cast<std::size_t>(i) % Fleet::kReplicas;
      Expect(fleet_.Restart(replica));
      AwaitAnswers(absl::StrCat("restart ", i + 1, ", of replica ", replica));
    }
    for (const auto& caller : placing_) caller->Stop();
    CheckInvariants();
    for (const auto& caller : following_) caller->Stop();
    Expect(fleet_.Stop());
    return Told();
  }

 private:
  void Places(std::string name, ThreadCaller::Work work, int threads = 1) {
    placing_.push_back(std::make_unique<ThreadCaller>(std::move(name), std::move(work), threads));
  }

  using WatchWork = std::function<void(Tally&, Journal<Event>&, const std::stop_token&)>;
  void Watches(const std::string& name, const WatchWork& work) {
    rolling::Told& told = evidence_.watches.emplace_back();
    told.caller = name;
    following_.push_back(std::make_unique<ThreadCaller>(
        name, [&told, work](Tally& tally, const std::stop_token& stop) {
          work(tally, told.events, stop);
        }));
  }

  void AddLibraryCallers() {
    const std::string target = fleet_.target();
    Places(
        "C++ library, unary",
        [=, this](Tally& tally, const std::stop_token& stop) {
          library::PlaceAndRead(target, tally, evidence_, stop);
        },
        /*threads=*/2);
    Places("C++ library, import", [=, this](Tally& tally, const std::stop_token& stop) {
      library::Import(target, tally, evidence_, stop);
    });
    Watches("C++ library, watch",
            [=](Tally& tally, Journal<Event>& told, const std::stop_token& stop) {
              library::Watch(target, tally, told, stop);
            });
    Tracked& tracked = evidence_.tracks.emplace_back();
    tracked.caller = "C++ library, track";
    following_.push_back(std::make_unique<ThreadCaller>(
        tracked.caller, [=, this, &tracked](Tally& tally, const std::stop_token& stop) {
          library::Track(target, tally, evidence_.acknowledged, tracked, stop);
        }));
  }

  void AddBareCallers() {
    const std::string target = fleet_.target();
    const auto places = [this](std::string name, BareChannel channel, bool wait_for_ready = false) {
      Places(std::move(name), [=, this](Tally& tally, const std::stop_token& stop) {
        PlaceAndRead(Open(channel), wait_for_ready, tally, evidence_, stop);
      });
    };
    const std::string round_robin = R"({"loadBalancingConfig": [{"round_robin": {}}]})";
    places("C++ health, no retry", {target, WithoutRetry(ShippedConfig())});
    places("C++ retry, no health", {target, WithoutHealthCheck(ShippedConfig()), true});
    places("C++ round_robin alone", {target, round_robin});
    places("C++ pick_first alone", {target});
    for (const std::string& address : fleet_.addresses()) {
      places("C++ one replica, waits", {"ipv4:" + address}, /*wait_for_ready=*/true);
    }
    Watches("C++ pick_first, watch",
            [target](Tally& tally, Journal<Event>& told, const std::stop_token& stop) {
              rolling::Watch(Open({target}), tally, told, stop);
            });
    Watches("C++ round_robin, watch",
            [=](Tally& tally, Journal<Event>& told, const std::stop_token& stop) {
              rolling::Watch(Open({target, round_robin}), tally, told, stop);
            });
  }

  // Until every caller has had an answer from now on.
  void AwaitAnswers(const std::string& since) {
    for (const Callers* callers : {&placing_, &following_}) {
      for (const auto& caller : *callers) {
        const std::int64_t before = caller->counts().answered;
        if (!Await([&] {
              caller->Look();
              return caller->counts().answered > before;
            })) {
          violations_.push_back(absl::StrCat(caller->name(), " had no answer after ", since));
        }
      }
    }
  }

  void CheckInvariants() {
    const std::vector<orders::v1::Order> stored = Settled();
    Expect(CheckOrders(stored, evidence_.acknowledged.All()));
    const std::vector<Event> log = Log(2 * stored.size());
    Expect(CheckLog(log, stored));
    for (const rolling::Told& watch : evidence_.watches) {
      Await([&] { return watch.events.size() >= log.size(); });
      Expect(CheckWatch(watch.caller, watch.events.All(), log));
    }
    for (const Tracked& track : evidence_.tracks) {
      const auto check = [&] {
        return CheckTrack(track.caller, track.order_ids.All(), track.events.All());
      };
      Await([&] { return check().empty(); });
      Expect(check());
    }
    const auto inventory = client::InventoryClient::Create(fleet_.inventory_address());
    const auto stock = (*inventory)->GetStock({});
    Expect(stock.status());
    if (stock.ok()) Expect(CheckStock(*stock, stored));
  }

  // All orders, once each has come to its end.
  std::vector<orders::v1::Order> Settled() {
    const auto client = Client();
    std::vector<orders::v1::Order> stored;
    Await([&] {
      stored.clear();
      client::OrderList list = client->ListOrders(1000);
      for (;;) {
        auto order = list.Next();
        Expect(order.status());
        if (!order.ok() || !order->has_value()) return true;
        if ((*order)->state() == orders::v1::ORDER_STATE_PLACED) return false;
        stored.push_back(**std::move(order));
      }
    });
    return stored;
  }

  // What a watcher is told that was not there when the servers restarted: at least
  // `expected` events.
  std::vector<Event> Log(std::size_t expected) {
    Journal<Event> log;
    ThreadCaller reader("log", [&](Tally& tally, const std::stop_token& stop) {
      library::Watch(fleet_.target(), tally, log, stop);
    });
    reader.Start();
    Await([&] { return log.size() >= expected; });
    reader.Stop();
    return log.All();
  }

  std::unique_ptr<client::OrdersClient> Client() {
    return *client::OrdersClient::Create(fleet_.target());
  }

  void Expect(const absl::Status& status) {
    if (!status.ok()) violations_.emplace_back(status.message());
  }
  void Expect(const Violations& found) {
    violations_.insert(violations_.end(), found.begin(), found.end());
  }

  Report Told() const {
    Report report;
    for (const Callers* callers : {&placing_, &following_}) {
      for (const auto& caller : *callers) {
        report.callers.push_back({caller->name(), caller->counts(), caller->failures()});
      }
    }
    report.violations = violations_;
    report.stops = fleet_.stops();
    report.stops_with_connections_left = fleet_.stops_with_connections_left();
    return report;
  }

  Fleet& fleet_;
  Evidence evidence_;
  Callers placing_;
  Callers following_;  // They stay until the last event.
  Violations violations_;
};

}  // namespace

bool Report::clean() const {
  return violations.empty() && std::all_of(callers.begin(), callers.end(),
                                           [](const Row& row) { return row.counts.failed == 0; });
}

absl::StatusOr<Report> Run(const Options& options) {
  auto fleet = Fleet::Start(options.orders_flags);
  if (!fleet.ok()) return fleet.status();
  return RollingRestart(**fleet).Run(options.restarts);
}

}  // namespace rolling
