// bazel run //:demo [-- --database=postgresql]
//
// Shows a SIGTERM under load: starts the inventory and the orders server, places and
// watches orders with the client library, restarts the orders server, and compares what
// callers were told with what is stored. Exits with 0 if nothing was lost. On PostgreSQL, which
// it starts itself, there are three orders servers, and they are restarted one after the other.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/error_details.h"
#include "client/orders/inventory_client.h"
#include "client/orders/orders_client.h"
#include "orders/v1/orders.pb.h"
#include "service/lifecycle/event.h"
#include "service/orders/demo/buyers.h"
#include "service/orders/demo/screen.h"
#include "service/orders/demo/verdict.h"
#include "service/orders/demo/watcher.h"
#include "service/postgres/testing/postgres_server.h"
#include "tests/common/event_log.h"
#include "tests/common/reserved_port.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"

namespace demo {
namespace {

using lifecycle::EventType;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testkit::ServerProcess;
using Clock = std::chrono::steady_clock;

constexpr int kBuyers = 4;
constexpr int kWatchers = 3;
constexpr int kReplicasOnPostgres = 3;
constexpr milliseconds kBetweenOrders{5};
constexpr seconds kTrade{3};
// How often the screen is refreshed.
constexpr milliseconds kRefresh{20};
// Upper bounds; each step takes far less.
constexpr seconds kStop{20};
constexpr seconds kSettle{10};
constexpr seconds kAltogether{55};

constexpr int kKept = 0;
constexpr int kBroken = 1;
// What a shell reports for a program that Ctrl-C ended.
constexpr int kInterrupted = 130;

// What each event means to somebody who sees it for the first time.
const std::map<EventType, std::string> kMeaning = {
    {EventType::kShutdownRequested, "SIGTERM has arrived"},
    {EventType::kLameDuckEntered, "health says NOT_SERVING; calls are still served"},
    {EventType::kListenerClosed, "new connections are refused"},
    {EventType::kGoodbyeSaid, "streams end with a status that says where to resume"},
    {EventType::kConnectionsGone, "every client has left, after its last answer"},
    {EventType::kNewCallsRefused, "no new call is accepted"},
    {EventType::kCallsFinished, "no call is left to wait for"},
    {EventType::kServerStopped, "gRPC has released everything"},
    {EventType::kWorkersStopped, "each finished its current item"},
    {EventType::kStateSaved, "while the database is still open"},
    {EventType::kClosed, "after everything that uses it"},
};

// One line for each event of the server's shutdown.
std::string Line(const testkit::LoggedEvent& event) {
  const auto meaning = event.type ? kMeaning.find(*event.type) : kMeaning.end();
  const std::string more = meaning != kMeaning.end() ? meaning->second : event.detail;
  const std::chrono::duration<double> since = event.since_shutdown.value_or(milliseconds(0));
  return absl::StrFormat("%+7.3fs  %-19s %-26s %s", since.count(), event.phase,
                         absl::StrCat(event.name, event.subject.empty() ? "" : ": ", event.subject),
                         more);
}

std::string Seconds(std::chrono::duration<double> duration) {
  return absl::StrFormat("%.1f s", duration.count());
}

// The signals that interrupt the demonstration; main() has blocked them. A terminal that is closed
// is one, but not under nohup.
sigset_t ShutdownSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  struct sigaction at_hangup {};
  sigaction(SIGHUP, nullptr, &at_hangup);
  if (at_hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

// One orders server; it keeps its port.
struct Replica {
  const testkit::ReservedPort port;
  std::unique_ptr<ServerProcess> process;
};

// The demonstration, step by step. A step returns false when it cannot continue; `why_`
// then says why.
//
// Threads: main's, which is also the parent of the servers.
class Demonstration {
 public:
  Demonstration(Screen& screen, bool on_postgres) : screen_(screen), on_postgres_(on_postgres) {}

  int Run() {
    using Step = bool (Demonstration::*)();
    for (const Step step :
         {&Demonstration::StartServers, &Demonstration::BeginTraffic, &Demonstration::Trade,
          &Demonstration::RestartOrders, &Demonstration::Trade, &Demonstration::EndTraffic,
          &Demonstration::ReadBack}) {
      if (!(this->*step)()) Abandon();
    }
    return Conclude();
  }

 private:
  bool StartServers();
  bool BeginTraffic();
  bool Trade();
  bool RestartOrders();
  bool EndTraffic();
  bool ReadBack();
  int Conclude();

  // In the time that is left, and until a signal comes. Null: it did not succeed.
  std::unique_ptr<ServerProcess> StartServer(ServerProcess::Options options);
  bool StartDatabase();
  bool Start(Replica& replica);
  bool Stop(Replica& replica);
  bool StartAgain(Replica& replica);
  // Until each of the `count` callers continues; else names those that do not.
  bool Await(const std::string& who, int count, const std::function<bool(int)>& continues);
  // Where callers find all of them.
  std::string Target() const;
  // Whether a signal has come, after waiting `limit` for one.
  bool Interrupted(Clock::duration limit);
  // Shows what happens until `done()`, at most for `limit`.
  bool LookOn(const std::function<bool()>& done, Clock::duration limit);
  void ShowTheLatest();
  void ShowServerEvents();
  bool EverybodyHasSeen(std::size_t events) const;
  // Reads the events from the first on. What is missing after a while, Judge() finds.
  bool ReadLog();

  bool GiveUp(std::string why) {
    why_ = std::move(why);
    return false;
  }
  // Ends the process, whatever the threads of the traffic wait for.
  [[noreturn]] void Abandon();

  Screen& screen_;
  const bool on_postgres_;
  const Clock::time_point start_ = Clock::now();
  std::string why_;
  int exit_code_ = kBroken;

  // Each uses what stands above it.
  std::optional<testkit::TempDir> directory_{std::in_place};
  std::unique_ptr<postgres::PostgresServer> postgres_;  // If on PostgreSQL.
  std::string database_;
  std::unique_ptr<ServerProcess> inventory_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  Replica* watched_ = nullptr;  // The one whose events are shown.
  std::size_t events_shown_ = 0;
  std::unique_ptr<client::OrdersClient> client_;
  std::unique_ptr<Buyers> buyers_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  Evidence evidence_;
};

bool Demonstration::StartServers() {
  screen_.Say("SIGTERM under load, then a restart; at the end everything is counted",
              Tone::kStrong);
  inventory_ = StartServer({.binary = "service/inventory/inventory",
                            .flags = {"--database=" + directory_->File("inventory.sqlite3"),
                                      "--stock=apple=100000,banana=100000,cherry=100000"}});
  if (inventory_ == nullptr) return false;
  screen_.Say("inventory serves on " + inventory_->address());
  if (!StartDatabase()) return false;
  for (int i = 0; i < (on_postgres_ ? kReplicasOnPostgres : 1); ++i) {
    replicas_.push_back(std::make_unique<Replica>());
    if (!Start(*replicas_.back())) return false;
    screen_.Say("orders serves on " + replicas_.back()->process->address());
  }
  return true;
}

std::unique_ptr<ServerProcess> Demonstration::StartServer(ServerProcess::Options options) {
  const Clock::duration left = start_ + kAltogether - Clock::now();
  auto server = ServerProcess::Start(std::move(options), std::chrono::ceil<milliseconds>(left),
                                     [this] { return Interrupted(Clock::duration(0)); });
  if (server.ok()) return *std::move(server);
  if (why_.empty()) GiveUp(std::string(server.status().message()));
  return nullptr;
}

// PostgreSQL's own start has its own limits; a signal that comes meanwhile is taken behind it.
bool Demonstration::StartDatabase() {
  database_ = directory_->File("orders.sqlite3");
  if (!on_postgres_) return true;
  auto server = postgres::PostgresServer::Start();
  if (!server.ok()) return GiveUp(std::string(server.status().message()));
  postgres_ = *std::move(server);
  auto database = postgres_->CreateDatabase();
  if (!database.ok()) return GiveUp(std::string(database.status().message()));
  database_ = *database;
  screen_.Say("PostgreSQL serves on " + postgres_->address());
  return true;
}

std::string Demonstration::Target() const {
  if (replicas_.size() == 1) return replicas_.front()->process->address();
  return "ipv4:" + absl::StrJoin(replicas_, ",", [](std::string* out, const auto& replica) {
           out->append(replica->process->address());
         });
}

bool Demonstration::Start(Replica& replica) {
  replica.process =
      StartServer({.binary = "service/orders_server",
                   .flags = {"--database=" + database_, "--inventory=" + inventory_->address(),
                             "--termination_grace=15s",
                             // There is no other replica to move to, or callers find it at once.
                             "--shutdown_lame_duck=500ms"},
                   .address = replica.port.address()});
  if (replica.process == nullptr) return false;
  watched_ = &replica;
  events_shown_ = testkit::EventsIn(replica.process->process().Output()).size();
  return true;
}

bool Demonstration::BeginTraffic() {
  const std::string target = Target();
  auto client = client::OrdersClient::Create(target);
  if (!client.ok()) return GiveUp(client::Describe(client.status()));
  client_ = *std::move(client);
  for (int i = 0; i < kWatchers; ++i) {
    auto watcher = Watcher::Create(target);
    if (!watcher.ok()) return GiveUp(client::Describe(watcher.status()));
    watchers_.push_back(*std::move(watcher));
  }
  const std::vector<std::string> skus = {"apple", "banana", "cherry"};
  buyers_ = std::make_unique<Buyers>(*client_, kBuyers, skus, kBetweenOrders);
  screen_.Say(
      absl::StrFormat("%d buyers place orders, %d watchers follow the events", kBuyers, kWatchers));
  return true;
}

bool Demonstration::Trade() {
  LookOn([] { return false; }, kTrade);
  return why_.empty();
}

bool Demonstration::RestartOrders() {
  for (const std::unique_ptr<Replica>& replica : replicas_) {
    if (!Stop(*replica) || !StartAgain(*replica)) return false;
  }
  return true;
}

bool Demonstration::Stop(Replica& replica) {
  screen_.Say("SIGTERM to orders" + (on_postgres_ ? " on " + replica.process->address() : ""),
              Tone::kStrong);
  watched_ = &replica;
  events_shown_ = testkit::EventsIn(replica.process->process().Output()).size();
  testkit::ChildProcess& orders = replica.process->process();
  const int answered = buyers_->answered();
  const Clock::time_point start = Clock::now();
  orders.Signal(SIGTERM);
  const auto ended = [&orders] { return orders.Wait(milliseconds(0)) != testkit::Ending(); };
  if (!LookOn(ended, kStop)) {
    return why_.empty() ? GiveUp("the orders server did not exit within " + Seconds(kStop)) : false;
  }
  std::ostringstream ending;
  ending << orders.Wait(milliseconds(0));
  evidence_.endings.push_back(ending.str());
  screen_.Say(
      absl::StrFormat("orders ended after %s with %s; the buyers were answered %d times meanwhile",
                      Seconds(Clock::now() - start), ending.str(), buyers_->answered() - answered),
      Tone::kStrong);
  return true;
}

bool Demonstration::StartAgain(Replica& replica) {
  if (!Start(replica)) return false;
  screen_.Say("orders serves again on " + replica.process->address(), Tone::kStrong);
  const std::vector<Buyers::Answers> before = buyers_->answers();
  // Of each buyer two, since the first may have been on its way before.
  if (!Await("buyer", kBuyers,
             [&](int i) { return buyers_->answers()[i].count >= before[i].count + 2; })) {
    return false;
  }
  // An order that was placed since.
  const std::string order_id = buyers_->answers().front().last_order_id;
  if (!Await("watcher", kWatchers, [&](int i) { return watchers_[i]->HasSeen(order_id); })) {
    return false;
  }
  screen_.Say(absl::StrFormat("all buyers and watchers continue; the slowest answer took %s",
                              Seconds(buyers_->slowest())));
  return true;
}

bool Demonstration::Await(const std::string& who, int count,
                          const std::function<bool(int)>& continues) {
  std::vector<std::string> missing;
  const auto all = [&] {
    missing.clear();
    for (int i = 0; i < count; ++i) {
      if (!continues(i)) missing.push_back(absl::StrCat(who, " ", i + 1));
    }
    return missing.empty();
  };
  if (LookOn(all, kSettle)) return true;
  return why_.empty() ? GiveUp(absl::StrCat(absl::StrJoin(missing, ", "),
                                            " did not continue within ", Seconds(kSettle)))
                      : false;
}

bool Demonstration::EndTraffic() {
  buyers_->Stop();
  evidence_.acknowledged = buyers_->acknowledged();
  evidence_.failures = buyers_->failures();
  screen_.Say(absl::StrFormat("the buyers stop; %s orders were acknowledged",
                              Thousands(static_cast<std::int64_t>(evidence_.acknowledged.size()))));
  return why_.empty();
}

bool Demonstration::ReadBack() {
  // An order is settled once the relay has confirmed it with the inventory.
  absl::Status failed;
  const auto at_rest = [&] {
    evidence_.stored.clear();
    client::OrderList list = client_->ListOrders(/*page_size=*/1000);
    bool rest = true;
    for (auto order = list.Next(); failed.ok() && !(order.ok() && !*order); order = list.Next()) {
      failed = order.status();
      if (!failed.ok()) break;
      rest = rest && (*order)->state() != orders::v1::ORDER_STATE_PLACED;
      evidence_.stored.push_back(**order);
    }
    return rest || !failed.ok();
  };
  if (!LookOn(at_rest, kSettle)) {
    return why_.empty() ? GiveUp("not every order was confirmed within " + Seconds(kSettle))
                        : false;
  }
  if (!failed.ok()) return GiveUp("cannot list the orders: " + client::Describe(failed));
  if (!ReadLog()) return false;
  LookOn([this] { return EverybodyHasSeen(evidence_.log.size()); }, kSettle);
  for (const auto& watcher : watchers_) evidence_.watched.push_back(watcher->events());

  auto inventory = client::InventoryClient::Create(inventory_->address());
  if (!inventory.ok()) return GiveUp(client::Describe(inventory.status()));
  auto stock = (*inventory)->GetStock({});
  if (!stock.ok()) return GiveUp("cannot read the stock: " + client::Describe(stock.status()));
  evidence_.stock = *std::move(stock);
  return why_.empty();
}

bool Demonstration::ReadLog() {
  auto reader = Watcher::Create(Target());
  if (!reader.ok()) return GiveUp(client::Describe(reader.status()));
  // A replica's totals say how long the log is, once they are not behind: two events an order.
  absl::StatusOr<orders::v1::GetSalesResponse> sales;
  const auto least = static_cast<std::int64_t>(2 * evidence_.stored.size());
  const auto everything = [&] {
    sales = client_->GetSales();
    if (!sales.ok()) return true;
    evidence_.events = sales->sequence();
    return evidence_.events >= least &&
           static_cast<std::int64_t>((*reader)->seen()) >= evidence_.events;
  };
  LookOn(everything, kSettle);
  if (!sales.ok()) return GiveUp("cannot read the sales: " + client::Describe(sales.status()));
  evidence_.log = (*reader)->events();
  return why_.empty();
}

int Demonstration::Conclude() {
  watchers_.clear();
  screen_.Latest("");
  screen_.Say("what callers were told, compared with what is stored", Tone::kStrong);
  bool all_kept = true;
  for (const Finding& finding : Judge(evidence_)) {
    all_kept = all_kept && finding.kept;
    screen_.Continue(absl::StrFormat("%-4s %-53s %s", finding.kept ? "yes" : "NO", finding.promise,
                                     finding.proof),
                     finding.kept ? Tone::kGood : Tone::kBad);
  }
  screen_.Say(all_kept ? "Nothing was lost." : "Not every promise was kept.",
              all_kept ? Tone::kGood : Tone::kBad);
  return all_kept ? kKept : kBroken;
}

bool Demonstration::Interrupted(Clock::duration limit) {
  const sigset_t signals = ShutdownSignals();
  const timespec time{0, std::chrono::nanoseconds(limit).count()};
  if (sigtimedwait(&signals, nullptr, &time) <= 0) return false;
  exit_code_ = kInterrupted;
  why_ = "interrupted";
  return true;
}

bool Demonstration::LookOn(const std::function<bool()>& done, Clock::duration limit) {
  const Clock::time_point end = Clock::now() + limit;
  for (;;) {
    // Check before showing, so that the server's last lines are shown, too.
    const bool over = done();
    ShowServerEvents();
    ShowTheLatest();
    if (over) return true;
    if (Clock::now() >= end) return false;
    if (Clock::now() - start_ >= kAltogether) {
      return GiveUp("not finished after " + Seconds(kAltogether));
    }
    if (Interrupted(kRefresh)) return false;
  }
}

void Demonstration::ShowTheLatest() {
  std::string watched;
  for (const auto& watcher : watchers_) {
    absl::StrAppend(&watched, "  ", Thousands(static_cast<std::int64_t>(watcher->seen())));
  }
  // With five-digit counts and the margin: 77 columns.
  screen_.Latest(absl::StrFormat("%s orders placed, %d waiting; watched:%s",
                                 Thousands(buyers_->answered()), buyers_->waiting(), watched));
}

void Demonstration::ShowServerEvents() {
  const std::vector<testkit::LoggedEvent> events =
      testkit::EventsIn(watched_->process->process().Output());
  for (; events_shown_ < events.size(); ++events_shown_) {
    const testkit::LoggedEvent& event = events[events_shown_];
    screen_.Continue(Line(event), event.ok ? Tone::kPlain : Tone::kBad);
  }
}

bool Demonstration::EverybodyHasSeen(std::size_t events) const {
  return std::all_of(watchers_.begin(), watchers_.end(),
                     [&](const auto& watcher) { return watcher->seen() >= events; });
}

void Demonstration::Abandon() {
  screen_.Latest("");
  screen_.Say(why_, Tone::kBad);
  replicas_.clear();
  inventory_.reset();
  postgres_.reset();
  directory_.reset();
  std::cout << std::flush;
  _exit(exit_code_);
}

}  // namespace
}  // namespace demo

int main(int argc, char** argv) {
  const bool on_postgres = argc == 2 && std::strcmp(argv[1], "--database=postgresql") == 0;
  if (argc > 1 && !on_postgres) {
    std::cerr << "the only argument is --database=postgresql\n";
    return 1;
  }
  // Blocked in every thread; Interrupted() takes them.
  const sigset_t signals = demo::ShutdownSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);  // If the reader goes away, the servers are still cleaned up.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const char* const term = getenv("TERM");
  const bool terminal = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nullptr &&
                        term != nullptr && std::strcmp(term, "dumb") != 0;
  demo::Screen screen(std::cout, terminal);
  return demo::Demonstration(screen, on_postgres).Run();
}
