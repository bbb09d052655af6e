// Everything that may happen to servers, at random and at once: replicas of the orders server, the
// inventory and PostgreSQL are killed, stopped and frozen, their connections are cut, their disks are
// full, slow and broken, while callers place, import, cancel, read, watch and track orders. Then all
// is mended, and what callers were told is compared with what is stored.
//
//   bazelw test //tests/chaos:an_hour --test_output=streamed
//   bazelw run //tests/chaos -- --database=postgresql --duration=10m --seed=7

#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/error_details.h"
#include "client/orders/inventory_client.h"
#include "client/orders/orders_client.h"
#include "service/postgres/testing/postgres_server.h"
#include "tests/chaos/callers.h"
#include "tests/chaos/faults.h"
#include "tests/chaos/server.h"
#include "tests/chaos/verdict.h"
#include "tests/common/eventually.h"
#include "tests/common/slow_link.h"
#include "tests/common/temp_dir.h"

ABSL_FLAG(std::string, database, "", "sqlite or postgresql; empty: by turns.");
ABSL_FLAG(int, replicas, 0, "Of the orders server; 0: three, and by turns one on SQLite.");
ABSL_FLAG(
    absl::Duration, duration, absl::Seconds(10),
    "How long until no more faults are made. Mending and comparing takes up to two minutes more.");
ABSL_FLAG(absl::Duration, round, absl::Seconds(20),
          "How long faults are made in a round, at most.");
ABSL_FLAG(unsigned, seed, 0, "What happens when; 0: a new one.");

namespace chaos {
namespace {

using orders::v1::Order;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

// What a replica has claimed when it is killed is free again after a lease of 15 s.
constexpr seconds kSettle{100};

// What came of all rounds.
struct Summary {
  Tally tally;
  std::map<std::string, int> failures;
  std::int64_t calls = 0;
  std::int64_t acknowledged = 0;
  std::int64_t cancelled = 0;
  std::int64_t events = 0;
  std::map<std::string, std::int64_t> syncs;  // By whose disk it was that may fail.
  int rounds = 0;
};

// One set of servers and callers, from the start to the verdict.
class Round {
 public:
  Round(unsigned seed, bool on_postgres, int replicas, Summary& summary)
      : seed_(seed), on_postgres_(on_postgres), replicas_(replicas), summary_(summary) {}

  void Run(Clock::duration faults) {
    if (!StartServers()) return;
    Callers callers(Target(), seed_, tally());
    StartFaults();
    std::this_thread::sleep_for(faults);
    for (const auto& each : torments_) each->RequestStop();
    for (const auto& each : torments_) each->Stop();
    callers.StopAsking();
    Stored stored;
    if (AwaitRest(stored)) {
      std::map<std::string, orders::v1::OrderState> states;
      for (const Order& order : stored.orders) states[order.order_id()] = order.state();
      if (!Await([&] { return callers.HaveSeen(stored.log.size(), states); })) {
        tally().Violation("a watcher or a tracker was not told everything");
      }
    } else {
      tally().Violation("not everything was settled");
    }
    const Journal told = callers.Stop();
    for (const auto& server : servers_) server->Stop();
    inventory_->Stop();
    for (const std::string& each : Judge(told, stored)) tally().Violation(each);
    Add(told, stored);
    if (tally().violations().empty()) return;
    std::printf("inventory:\n%s\n", inventory_->Output().c_str());
    for (const auto& server : servers_) std::printf("orders:\n%s\n", server->Output().c_str());
  }

 private:
  Tally& tally() { return summary_.tally; }

  // False: one does not start, and why was told.
  bool StartServers() {
    std::string database = directory_.File("orders.sqlite3");
    if (on_postgres_) {
      auto started = postgres::PostgresServer::Start();
      if (!started.ok()) return Fails(started.status());
      postgres_ = *std::move(started);
      const auto created = postgres_->CreateDatabase();
      if (!created.ok()) return Fails(created.status());
      link_ =
          std::make_unique<testkit::SlowLink>(postgres_->address(), testkit::SlowLink::Options());
      database = postgres_->Url(created->substr(created->rfind('/') + 1), link_->address());
    }
    const std::vector<std::string> budget = {"--termination_grace=8s",
                                             "--shutdown_lame_duck=300ms"};
    const std::string stock = "--stock=apple=100000000,banana=100000000,cherry=100000000";
    const auto with = [&budget](std::vector<std::string> flags) {
      flags.insert(flags.end(), budget.begin(), budget.end());
      return flags;
    };
    inventory_ = std::make_unique<Server>(
        "inventory", "service/inventory/inventory",
        with({"--database=" + directory_.File("inventory.sqlite3"), stock}), tally());
    if (!inventory_->Start()) return false;
    for (int i = 0; i < replicas_; ++i) {
      servers_.push_back(std::make_unique<Server>(
          "orders", "service/orders_server",
          with({"--database=" + database, "--inventory=" + inventory_->address()}), tally()));
      if (!servers_.back()->Start()) return false;
    }
    return true;
  }

  std::string Target() const {
    return "ipv4:" + absl::StrJoin(servers_, ",", [](std::string* out, const auto& server) {
             out->append(server->address());
           });
  }

  void Begin(int most_pause_ms, std::vector<Fault> faults) {
    const auto number = static_cast<unsigned>(torments_.size());
    torments_.push_back(std::make_unique<Torment>(seed_ * 1000 + number, most_pause_ms,
                                                  std::move(faults), tally()));
  }

  void StartFaults() {
    std::vector<Fault> links = inventory_->LinkFaults();
    std::vector<Fault> disks = inventory_->DiskFaults();
    const auto append = [](std::vector<Fault>& to, std::vector<Fault> more) {
      for (Fault& each : more) to.push_back(std::move(each));
    };
    for (const auto& server : servers_) {
      Begin(600, server->ProcessFaults());
      append(links, server->LinkFaults());
      if (!on_postgres_) append(disks, server->DiskFaults());
    }
    Begin(1500, inventory_->ProcessFaults());
    if (on_postgres_) {
      append(links, FaultsOfLink(*link_, "postgresql"));
      Begin(5000, PostgresFaults());
    }
    Begin(500, std::move(links));
    Begin(800, std::move(disks));
  }

  std::vector<Fault> PostgresFaults() {
    const auto again = [this] {
      const absl::Status status = postgres_->StartAgain();
      if (!status.ok()) tally().Violation(status.ToString());
    };
    return {{"postgresql SIGKILL", 2,
             [this, again](Random&) {
               postgres_->Kill();
               again();
             }},
            {"postgresql SIGINT", 1,
             [this, again](Random&) {
               postgres_->Stop();
               again();
             }},
            {"postgresql SIGSTOP", 1, [this](Random& random) {
               postgres_->Pause();
               std::this_thread::sleep_for(Between(random, 20, 1000));
               postgres_->Resume();
             }}};
  }

  static bool Await(const std::function<bool()>& done) {
    return testkit::Eventually(done, kSettle, milliseconds(100));
  }

  // Until every order is confirmed or cancelled, and the stock is that of the orders.
  bool AwaitRest(Stored& stored) {
    auto client = client::OrdersClient::Create(Target());
    auto inventory = client::InventoryClient::Create(inventory_->address());
    if (!client.ok() || !inventory.ok()) return false;
    return Await([&] { return ReadBack(**client, **inventory, stored); });
  }

  bool ReadBack(client::OrdersClient& client, client::InventoryClient& inventory, Stored& stored) {
    stored = {};
    client::OrderList list = client.ListOrders(/*page_size=*/500);
    for (;;) {
      const auto order = list.Next();
      if (!order.ok()) return false;
      if (!*order) break;
      if ((*order)->state() == orders::v1::ORDER_STATE_PLACED) return false;
      stored.orders.push_back(**order);
    }
    auto stock = inventory.GetStock({});
    if (!stock.ok()) return false;
    stored.stock = *std::move(stock);
    stored.stock_is_known = true;
    return rolling::CheckStock(stored.stock, stored.orders).empty() && ReadLog(client, stored) &&
           ReadSales(client, stored);
  }

  // Until the last event of each order has come.
  bool ReadLog(client::OrdersClient& client, Stored& stored) {
    std::map<std::string, orders::v1::OrderState> left;
    for (const Order& order : stored.orders) left[order.order_id()] = order.state();
    std::stop_source stop;
    std::jthread limit([&stop](const std::stop_token& over) {
      const auto end = Clock::now() + seconds(10);
      while (!over.stop_requested() && Clock::now() < end) {
        std::this_thread::sleep_for(milliseconds(20));
      }
      stop.request_stop();
    });
    client.WatchOrders(
        {.resume_token = "start"},
        [&](const orders::v1::WatchOrdersResponse::Event& event) {
          const Order& order = event.order();
          stored.log.push_back({order.order_id(), order.state()});
          const auto found = left.find(order.order_id());
          if (found != left.end() && found->second == order.state()) left.erase(found);
          return !left.empty();
        },
        stop.get_token());
    return left.empty();
  }

  bool ReadSales(client::OrdersClient& client, Stored& stored) {
    auto sales = client.GetSales();
    if (!sales.ok()) return false;
    stored.sales = *std::move(sales);
    return stored.sales.sequence() == static_cast<std::int64_t>(stored.log.size());
  }

  void Add(const Journal& told, const Stored& stored) {
    ++summary_.rounds;
    summary_.calls += told.calls;
    summary_.acknowledged += static_cast<std::int64_t>(told.acknowledged.size());
    summary_.cancelled += static_cast<std::int64_t>(told.cancelled.size());
    summary_.events += static_cast<std::int64_t>(stored.log.size());
    summary_.syncs["the inventory"] += inventory_->disk().syncs();
    for (const auto& server : servers_) {
      if (!on_postgres_) summary_.syncs["the orders servers"] += server->disk().syncs();
    }
    for (const auto& [why, count] : told.failures) summary_.failures[why] += count;
  }

  bool Fails(const absl::Status& status) {
    tally().Violation(std::string(status.message()));
    return false;
  }

  const unsigned seed_;
  const bool on_postgres_;
  const int replicas_;
  Summary& summary_;
  const testkit::TempDir directory_;
  std::unique_ptr<postgres::PostgresServer> postgres_;  // If on PostgreSQL; so is its link.
  std::unique_ptr<testkit::SlowLink> link_;
  std::unique_ptr<Server> inventory_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<Torment>> torments_;
};

// How many faults had one of these words in their kind.
int Count(const Tally& tally, const std::vector<std::string>& words) {
  int count = 0;
  for (const auto& fault : tally.counts()) {
    const bool has_one = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
      return fault.first.find(word) != std::string::npos;
    });
    count += has_one ? fault.second : 0;
  }
  return count;
}

// A run in which nothing broke, or nobody called, has shown nothing.
void Expect(Summary& summary, Clock::duration faults) {
  const auto some = [&summary](const std::string& what, std::int64_t count) {
    if (count == 0) summary.tally.Violation("there were no " + what);
  };
  // Far more than there is between two of the same kind.
  if (faults < seconds(5)) return;
  some("signals", Count(summary.tally, {" SIG"}));
  some("faults of links", Count(summary.tally, {" connections cut", " link silent"}));
  some("faults of disks", Count(summary.tally, {" disk full", " fsync "}));
  for (const auto& [whose, count] : summary.syncs) some("syncs of " + whose, count);
  some("acknowledged orders", summary.acknowledged);
  some("cancelled orders", summary.cancelled);
  some("events", summary.events);
}

// In two lines.
void PrintTotals(const Summary& summary, Clock::duration took) {
  int faults = 0;
  for (const auto& [kind, count] : summary.tally.counts()) {
    faults += kind.find(':') == std::string::npos ? count : 0;
  }
  std::printf(
      "%d rounds in %ld s: %d faults, %d of them signals to processes\n"
      "%ld calls answered, %ld orders acknowledged, %ld of them cancelled by their callers, %ld "
      "events\n",
      summary.rounds, static_cast<long>(std::chrono::duration_cast<seconds>(took).count()), faults,
      Count(summary.tally, {" SIG"}), summary.calls, summary.acknowledged, summary.cancelled,
      summary.events);
  std::fflush(stdout);
}

void Print(const Summary& summary, Clock::duration took) {
  for (const auto& [kind, count] : summary.tally.counts()) {
    std::printf("%8d  %s\n", count, kind.c_str());
  }
  std::printf("calls that failed after all retries, and were repeated\n");
  for (const auto& [why, count] : summary.failures) std::printf("%8d  %s\n", count, why.c_str());
  PrintTotals(summary, took);
  std::printf("%zu violations\n", summary.tally.violations().size());
  std::fflush(stdout);
}

bool RunAll() {
  unsigned seed = absl::GetFlag(FLAGS_seed);
  if (seed == 0) seed = std::random_device()() % 1'000'000;
  Summary summary;
  Clock::duration broken{0};
  const auto begun = Clock::now();
  const Clock::duration all = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_duration));
  const Clock::duration one = absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_round));
  for (unsigned round = 0; Clock::now() - begun < all; ++round) {
    const std::string database = absl::GetFlag(FLAGS_database);
    const bool on_postgres = database.empty() ? round % 2 == 0 : database == "postgresql";
    int replicas = absl::GetFlag(FLAGS_replicas);
    if (replicas == 0) replicas = !on_postgres && round / 2 % 2 == 1 ? 1 : 3;
    const Clock::duration faults = std::min(one, all - (Clock::now() - begun));
    std::printf("round %u: --seed=%u --database=%s --replicas=%d\n", round + 1, seed + round,
                on_postgres ? "postgresql" : "sqlite", replicas);
    std::fflush(stdout);
    Round(seed + round, on_postgres, replicas, summary).Run(faults);
    broken += faults;
    if (!summary.tally.violations().empty()) break;
    if (round % 10 == 9) PrintTotals(summary, Clock::now() - begun);
  }
  if (summary.tally.violations().empty()) Expect(summary, broken);
  Print(summary, Clock::now() - begun);
  return summary.tally.violations().empty();
}

}  // namespace
}  // namespace chaos

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return chaos::RunAll() ? 0 : 1;
}
