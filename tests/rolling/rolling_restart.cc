#include "tests/rolling/rolling_restart.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/orders/inventory_client.h"
#include "client/orders/orders_client.h"
#include "tests/common/eventually.h"
#include "tests/rolling/bare_caller.h"
#include "tests/rolling/buf_caller.h"
#include "tests/rolling/caller.h"
#include "tests/rolling/evidence.h"
#include "tests/rolling/fleet.h"
#include "tests/rolling/foreign_tools.h"
#include "tests/rolling/library_caller.h"
#include "tests/rolling/process_caller.h"
#include "tests/rolling/proxy.h"
#include "tests/rolling/scraper.h"
#include "tests/rolling/target.h"

namespace rolling {
namespace {

using Callers = std::vector<std::unique_ptr<Caller>>;

// Only how long a broken run takes to say so.
constexpr std::chrono::seconds kLimit{60};

bool Await(const std::function<bool()>& done) {
  return testkit::Eventually(done, kLimit, std::chrono::milliseconds(10));
}

// What foreign callers need besides the servers.
struct Foreign {
  ForeignTools tools;
  std::unique_ptr<Proxy> call_proxy;
  std::unique_ptr<Proxy> connection_proxy;
  std::unique_ptr<Proxy> blind_proxy;

  static absl::StatusOr<Foreign> Prepare(const ForeignTools& tools, const Fleet& fleet) {
    Foreign foreign;
    foreign.tools = tools;
    for (const auto& [proxy, chooses, asks] :
         {std::tuple(&foreign.call_proxy, Proxy::Chooses::kForEachCall, Proxy::Asks::kHealth),
          std::tuple(&foreign.connection_proxy, Proxy::Chooses::kForEachConnection,
                     Proxy::Asks::kHealth),
          std::tuple(&foreign.blind_proxy, Proxy::Chooses::kForEachCall,
                     Proxy::Asks::kConnection)}) {
      auto started =
          Proxy::Start(tools.haproxy, fleet.addresses(), chooses, asks, fleet.target().tls());
      if (!started.ok()) return started.status();
      *proxy = *std::move(started);
    }
    return foreign;
  }
};

class RollingRestart {
 public:
  // All that is given outlives this.
  RollingRestart(Fleet& fleet, const Options& options, const Foreign& foreign)
      : fleet_(fleet), options_(options) {
    AddLibraryCallers();
    AddBareCallers();
    AddProxyCallers(foreign);
    AddForeignCallers(foreign);
    if (options.observed) AddScrapers();
  }

  Report Run() {
    for (const auto& caller : placing_) caller->Start();
    for (const auto& caller : following_) caller->Start();
    AwaitAnswers("the start");
    for (int i = 0; i < options_.restarts; ++i) {
      const std::size_t replica = static_cast<std::size_t>(i) % Fleet::kReplicas;
      Expect(fleet_.Restart(replica));
      AwaitAnswers(absl::StrCat("restart ", i + 1, ", of replica ", replica));
    }
    Stop(placing_);
    CheckInvariants();
    Expect(fleet_.Stop());
    return Told();
  }

 private:
  // `count` of the same kind.
  void Places(const std::string& name, const ThreadCaller::Work& work, int count) {
    for (int i = 0; i < count; ++i) {
      placing_.push_back(std::make_unique<ThreadCaller>(name, work));
    }
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
    const Target target = fleet_.target();
    Places(
        "C++ library, unary",
        [=, this](Tally& tally, const std::stop_token& stop) {
          library::PlaceAndRead(target, options_.think_time, tally, evidence_, stop);
        },
        options_.callers);
    Places(
        "C++ library, import",
        [=, this](Tally& tally, const std::stop_token& stop) {
          library::Import(target, tally, evidence_, stop);
        },
        /*count=*/1);
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

  void BarePlaces(const std::string& name, const BareChannel& channel,
                  bool wait_for_ready = false) {
    Places(
        name,
        [=, this](Tally& tally, const std::stop_token& stop) {
          PlaceAndRead(Open(channel), wait_for_ready, options_.think_time, tally, evidence_, stop);
        },
        options_.callers);
  }

  void BareWatches(const std::string& name, const BareChannel& channel) {
    Watches(name, [channel](Tally& tally, Journal<Event>& told, const std::stop_token& stop) {
      rolling::Watch(Open(channel), tally, told, stop);
    });
  }

  void AddBareCallers() {
    const Target target = fleet_.target();
    const std::string round_robin = R"({"loadBalancingConfig": [{"round_robin": {}}]})";
    BarePlaces("C++ health, no retry", {target, WithoutRetry(ShippedConfig())});
    BarePlaces("C++ retry, no health", {target, WithoutHealthCheck(ShippedConfig())});
    BarePlaces("C++ round_robin alone", {target, round_robin});
    BarePlaces("C++ pick_first alone", {target});
    for (const std::string& address : fleet_.addresses()) {
      BarePlaces("C++ one replica, waits", {fleet_.TargetAt(address)}, /*wait_for_ready=*/true);
    }
    if (options_.hopeless) {
      BarePlaces("C++ enable_retries=0, health", {target, WithoutRetry(ShippedConfig()), false});
      BarePlaces("C++ enable_retries=0", {target, "", false});
    }
    BareWatches("C++ pick_first, watch", {target});
    BareWatches("C++ round_robin, watch", {target, round_robin});
  }

  void AddProxyCallers(const Foreign& foreign) {
    for (const auto& [way, proxy] :
         {std::pair("HAProxy by call", foreign.call_proxy.get()),
          std::pair("HAProxy by connection", foreign.connection_proxy.get()),
          std::pair("HAProxy, no health", foreign.blind_proxy.get())}) {
      // HTTP/2 on both sides, or bytes.
      const Target target = proxy == foreign.connection_proxy.get()
                                ? fleet_.TargetAt(proxy->address())
                                : Target{"ipv4:" + proxy->address()};
      BarePlaces(absl::StrCat("C++, ", way), {target});
      BareWatches(absl::StrCat("C++ watch, ", way), {target});
    }
  }

  void AddForeignCallers(const Foreign& foreign) {
    const ForeignTools& tools = foreign.tools;
    AddLanguage("Python", {tools.python, tools.python_caller}, foreign);
    AddLanguage("Node", {tools.node, tools.node_caller}, foreign);
    Places(
        "buf curl, HAProxy",
        [this, &foreign](Tally& tally, const std::stop_token& stop) {
          PlaceWithBuf(foreign.tools, fleet_.TargetAt(foreign.connection_proxy->address()), tally,
                       evidence_, stop);
        },
        /*count=*/1);
  }

  // One for each: the answers of others say nothing of a replica.
  void AddScrapers() {
    for (const std::string& address : fleet_.metrics_addresses()) {
      following_.push_back(std::make_unique<ThreadCaller>(
          "metrics",
          [address](Tally& tally, const std::stop_token& stop) { Scrape(address, tally, stop); }));
    }
  }

  void AddLanguage(const std::string& language, const std::vector<std::string>& program,
                   const Foreign& foreign) {
    const Target servers = fleet_.target();
    const auto environment = [&](const Target& target) {
      testkit::ChildProcess::Environment variables = {
          {"DESCRIPTORS", foreign.tools.descriptors},
          {"NODE_PATH", foreign.tools.node_modules},
          {"THINK_TIME_MS", std::to_string(options_.think_time.count())}};
      if (target.tls()) variables["TLS_CERTIFICATE"] = target.certificate_file;
      return variables;
    };
    const auto run = [&](const std::string& work, const Target& target) {
      std::vector<std::string> command = program;
      command.insert(command.end(), {work, target.uri});
      return command;
    };
    for (const auto& [name, target] :
         {std::pair(language, servers),
          std::pair(language + ", HAProxy by call",
                    Target{"ipv4:" + foreign.call_proxy->address()})}) {
      placing_.push_back(std::make_unique<ProcessCaller>(name, run("place", target),
                                                         environment(target), evidence_));
    }
    testkit::ChildProcess::Environment configured = environment(servers);
    configured["SERVICE_CONFIG"] = foreign.tools.service_config;
    placing_.push_back(std::make_unique<ProcessCaller>(
        language + ", shipped config", run("place", servers), configured, evidence_));
    rolling::Told& told = evidence_.watches.emplace_back();
    told.caller = language + ", watch";
    following_.push_back(std::make_unique<ProcessCaller>(
        told.caller, run("watch", servers), environment(servers), evidence_, &told.events));
  }

  static void Stop(const Callers& callers) {
    for (const auto& caller : callers) caller->AskToStop();
    for (const auto& caller : callers) caller->AwaitStopped();
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
          Expect(Violations{absl::StrCat(caller->name(), " had no answer after ", since)});
        }
      }
    }
  }

  void CheckInvariants() {
    const std::vector<orders::v1::Order> stored = Settled();
    Expect(CheckOrders(stored, evidence_.acknowledged.All()));
    const std::vector<Event> log = Log(2 * stored.size());
    Expect(CheckLog(log, stored));
    const auto check = [](const Tracked& track) {
      return CheckTrack(track.caller, track.order_ids.All(), track.events.All());
    };
    for (const rolling::Told& watch : evidence_.watches) {
      Await([&] {
        for (const auto& caller : following_) caller->Look();
        return watch.events.size() >= log.size();
      });
    }
    for (const Tracked& track : evidence_.tracks) {
      Await([&] { return check(track).empty(); });
    }
    // Then they are judged: who is told more than there is must not be told so behind our back.
    Stop(following_);
    for (const rolling::Told& watch : evidence_.watches) {
      const std::vector<Event> told = watch.events.All();
      Expect(CheckWatch(watch.caller, told, log));
      differences_[watch.caller] = Compare(told, log);
    }
    for (const Tracked& track : evidence_.tracks) Expect(check(track));
    ExpectNoMoreThan(log.size());
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
    reader.AskToStop();
    reader.AwaitStopped();
    return log.All();
  }

  // An event that is stored once too often may come behind all that were awaited.
  void ExpectNoMoreThan(std::size_t events) {
    const auto client = Client();
    absl::StatusOr<orders::v1::GetSalesResponse> sales;
    // A replica adds them up a moment after they are stored.
    Await([&] {
      sales = client->GetSales();
      return !sales.ok() || sales->sequence() >= static_cast<std::int64_t>(events);
    });
    Expect(sales.status());
    if (!sales.ok() || sales->sequence() == static_cast<std::int64_t>(events)) return;
    Expect(Violations{absl::StrCat("the log has ", sales->sequence(), " events, not ", events)});
  }

  std::unique_ptr<client::OrdersClient> Client() {
    const Target target = fleet_.target();
    client::ClientOptions options;
    options.credentials = target.Credentials();
    if (target.tls()) options.server_name = Target::kServerName;
    return *client::OrdersClient::Create(target.uri, std::move(options));
  }

  void Expect(const absl::Status& status) {
    if (!status.ok()) Expect(Violations{std::string(status.message())});
  }
  // Told at once as well: a long run may be stopped by whoever sees it.
  void Expect(const Violations& found) {
    for (const std::string& violation : found) std::fprintf(stderr, "%s\n", violation.c_str());
    violations_.insert(violations_.end(), found.begin(), found.end());
  }

  Report Told() const {
    Report report;
    for (const Callers* callers : {&placing_, &following_}) {
      for (const auto& caller : *callers) {
        const auto events = differences_.find(caller->name());
        report.Add({caller->name(), caller->counts(), caller->failures(),
                    events == differences_.end() ? std::nullopt : std::optional(events->second)});
      }
    }
    report.violations = violations_;
    report.stops = fleet_.stops();
    report.stops_with_connections_left = fleet_.stops_with_connections_left();
    return report;
  }

  Fleet& fleet_;
  const Options options_;
  Evidence evidence_;
  Callers placing_;
  Callers following_;                               // They stay until the last event.
  std::map<std::string, Differences> differences_;  // Of the caller that watches.
  Violations violations_;
};

}  // namespace

void Report::Add(Row row) {
  const auto same = std::find_if(callers.begin(), callers.end(),
                                 [&](const Row& other) { return other.caller == row.caller; });
  if (same == callers.end()) {
    callers.push_back(std::move(row));
    return;
  }
  same->counts += row.counts;
  same->failures.insert(same->failures.end(), row.failures.begin(), row.failures.end());
}

bool Report::clean() const {
  return violations.empty() && std::all_of(callers.begin(), callers.end(),
                                           [](const Row& row) { return row.counts.failed == 0; });
}

absl::StatusOr<Report> Run(const Options& options) {
  auto fleet = Fleet::Start(options.orders_flags, options.tls, options.observed);
  if (!fleet.ok()) return fleet.status();
  const auto foreign = Foreign::Prepare(options.foreign_tools, **fleet);
  if (!foreign.ok()) return foreign.status();
  return RollingRestart(**fleet, options, *foreign).Run();
}

}  // namespace rolling
