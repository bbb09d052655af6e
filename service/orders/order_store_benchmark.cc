// How many orders a second each OrderStore takes and settles on a disk that needs its time for each
// commit, beside how many commits a second that disk does; and how long reads take. PostgreSQL runs
// on this machine, with a temporary directory on the same kind of disk.
//
//   ./bazelw run -c opt //service/orders:order_store_benchmark -- --directory=/var/tmp --sync_delay=2ms

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "service/orders/postgres_order_store.h"
#include "service/orders/sqlite_order_schema.h"
#include "service/orders/sqlite_order_store.h"
#include "service/postgres/testing/postgres_server.h"
#include "service/sqlite/database.h"
#include "service/sqlite/testing/failing_disk.h"
#include "tests/common/eventually.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

ABSL_FLAG(std::string, directory, "/var/tmp", "Where the database is made; a real disk.");
ABSL_FLAG(absl::Duration, sync_delay, absl::Milliseconds(2),
          "How much longer each fdatasync() lasts, as on a disk that keeps its promises.");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(5), "How long each row is measured.");

namespace {

using Clock = std::chrono::steady_clock;
using testkit::Soon;

double SecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

Clock::time_point End() {
  return Clock::now() + absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_duration));
}

// What the disk can do: commits of one thread, one row each.
double CommitsPerSecond(const std::string& path) {
  const sqlite::Schema schema{.application_id = 1, .migrations = {"CREATE TABLE t (i INTEGER)"}};
  auto database = sqlite::Database::Open(path, schema, {});
  if (!database.ok()) return 0;
  const Clock::time_point begun = Clock::now();
  const Clock::time_point end = End();
  int commits = 0;
  for (; Clock::now() < end; ++commits) {
    if (!(*database)->Run("INSERT INTO t VALUES (1)").ok()) return 0;
  }
  return commits / SecondsSince(begun);
}

orders::v1::Order NewOrder(std::int64_t number) {
  orders::v1::Order order;
  order.set_order_id("order-" + std::to_string(number));
  order.set_request_id("request-" + std::to_string(number));
  order.set_customer("Ada");
  orders::v1::OrderItem& item = *order.add_items();
  item.set_sku("tea");
  item.set_quantity(1);
  return order;
}

// Settles what is placed, as a relay does whose inventory answers at once.
void Relay(orders::OrderStore& store, std::atomic<std::int64_t>& settled,
           const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const auto items = store.Claim(512, std::chrono::seconds(30), Soon());
    if (!items.ok()) continue;
    if (items->empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::vector<orders::Settlement> settlements;
    for (const auto& item : *items) {
      settlements.push_back({item, orders::v1::ORDER_STATE_CONFIRMED});
    }
    if (store.Settle(settlements, Soon()).ok()) {
      settled += static_cast<std::int64_t>(settlements.size());
    }
  }
}

// Requires: sorted, and not empty.
double Percentile(const std::vector<double>& sorted, std::size_t percent) {
  return sorted[sorted.size() * percent / 100];
}

struct Row {
  double orders = 0;
  double settled = 0;
  double p50_ms = 0;
  double p99_ms = 0;
};

Row Measure(orders::OrderStore& store, int threads, std::int64_t first) {
  std::atomic<std::int64_t> next = first;
  std::atomic<std::int64_t> placed = 0;
  std::atomic<std::int64_t> settled = 0;
  std::vector<std::vector<double>> took(static_cast<std::size_t>(threads));
  std::jthread relay([&](std::stop_token stop) { Relay(store, settled, stop); });
  const Clock::time_point begun = Clock::now();
  const Clock::time_point end = End();
  std::vector<std::jthread> callers;
  for (std::vector<double>& mine : took) {
    callers.emplace_back([&] {
      while (Clock::now() < end) {
        const Clock::time_point called = Clock::now();
        if (store.Place({NewOrder(next++), "reservation"}, Soon()).ok()) {
          mine.push_back(SecondsSince(called) * 1000);
          ++placed;
        }
      }
    });
  }
  callers.clear();
  const double seconds = SecondsSince(begun);
  // What is placed counts as settled when all of it is.
  while (settled < placed.load() && SecondsSince(end) < 60) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double settled_per_second = static_cast<double>(settled) / SecondsSince(begun);
  std::vector<double> all;
  for (const std::vector<double>& mine : took) all.insert(all.end(), mine.begin(), mine.end());
  std::sort(all.begin(), all.end());
  if (all.empty()) return {};
  return {.orders = static_cast<double>(all.size()) / seconds,
          .settled = settled_per_second,
          .p50_ms = Percentile(all, 50),
          .p99_ms = Percentile(all, 99)};
}

// How long a read takes that begins every half millisecond.
void MeasureReads(orders::OrderStore& store, std::int64_t orders, const char* beside) {
  std::vector<double> took;
  const Clock::time_point end = End();
  while (Clock::now() < end) {
    const std::string id = "order-" + std::to_string(std::ssize(took) % orders);
    const Clock::time_point called = Clock::now();
    if (!store.Find(id, Soon()).ok()) std::printf("a read has failed\n");
    took.push_back(SecondsSince(called) * 1000);
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  std::sort(took.begin(), took.end());
  std::printf("%-24s p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", beside, Percentile(took, 50),
              Percentile(took, 99), took.back());
}

void Place(orders::OrderStore& store, std::int64_t number) {
  static_cast<void>(store.Place({NewOrder(number), "reservation"}, Soon()));
}

constexpr std::int64_t kRead = 500;

void MeasureReadsBesideWriters(orders::OrderStore& store, std::int64_t first) {
  std::atomic<std::int64_t> next = first;
  std::vector<std::jthread> writers;
  for (int i = 0; i < 64; ++i) {
    writers.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) Place(store, next++);
    });
  }
  MeasureReads(store, kRead, "reads, 64 writers");
}

void MeasureIdleReads(orders::OrderStore& store) {
  for (std::int64_t i = 0; i < kRead; ++i) Place(store, i);
  MeasureReads(store, kRead, "reads, idle");
}

// While another process has the database locked.
void MeasureReadsBesideALock(orders::OrderStore& store, const std::string& path) {
  auto other = sqlite::Database::Open(path, orders::SqliteOrderSchema(), {});
  if (!other.ok()) {
    std::printf("%s\n", other.status().ToString().c_str());
    return;
  }
  std::jthread writer;  // Ends when the lock is gone.
  const auto lock = sqlite::Transaction::Begin(**other);
  writer = std::jthread([&store] { Place(store, kRead); });
  MeasureReads(store, kRead, "reads, a locked writer");
}

// Rows of `store`, on a disk that can do so many commits a second.
void MeasureRows(orders::OrderStore& store, const sqlite::FailingDisk& disk, double commits) {
  std::printf("%8s %10s %10s %10s %10s %10s %14s\n", "callers", "orders/s", "settled/s", "syncs/s",
              "p50 ms", "p99 ms", "orders/commit*");
  std::int64_t first = 0;
  for (const int threads : {1, 16, 64, 256}) {
    const std::int64_t syncs = disk.syncs();
    const Clock::time_point begun = Clock::now();
    const Row row = Measure(store, threads, first += 100'000'000);
    const double syncs_per_second = static_cast<double>(disk.syncs() - syncs) / SecondsSince(begun);
    std::printf("%8d %10.0f %10.0f %10.0f %10.2f %10.2f %14.1f\n", threads, row.orders, row.settled,
                syncs_per_second, row.p50_ms, row.p99_ms, row.orders / commits);
  }
}

absl::Status MeasureSqlite(const testkit::TempDir& directory, const sqlite::FailingDisk& disk,
                           double commits) {
  {
    const std::string path = directory.File("reads.sqlite3");
    auto store = orders::SqliteOrderStore::Open(path);
    if (!store.ok()) return store.status();
    MeasureIdleReads(**store);
    MeasureReadsBesideALock(**store, path);
    MeasureReadsBesideWriters(**store, kRead + 1);
  }
  auto store = orders::SqliteOrderStore::Open(directory.File("orders.sqlite3"));
  if (!store.ok()) return store.status();
  MeasureRows(**store, disk, commits);
  return (*store)->Close(Soon());
}

absl::Status MeasurePostgres(double commits) {
  // It may run as another user, who comes to neither this one's files nor this program's.
  const testkit::TempDir directory("/tmp");
  const std::string library = directory.File("failing_disk.so");
  std::filesystem::copy_file(testkit::RunfileOrDie(sqlite::FailingDisk::kLibrary), library);
  const std::string control = directory.File("disk");
  sqlite::FailingDisk disk(control);
  disk.DelaySyncs(absl::ToChronoMicroseconds(absl::GetFlag(FLAGS_sync_delay)));
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  std::filesystem::permissions(control, std::filesystem::perms(0666));
  auto server = postgres::PostgresServer::Start(
      {.settings = {"fsync=on", "full_page_writes=on"},
       .environment = {{"LD_PRELOAD", library}, {sqlite::FailingDisk::kVariable, control}}});
  if (!server.ok()) return server.status();
  {
    const auto url = (*server)->CreateDatabase();
    if (!url.ok()) return url.status();
    auto store = orders::PostgresOrderStore::Open(*url, {});
    if (!store.ok()) return store.status();
    MeasureIdleReads(**store);
    MeasureReadsBesideWriters(**store, kRead + 1);
  }
  const auto url = (*server)->CreateDatabase();
  if (!url.ok()) return url.status();
  auto store = orders::PostgresOrderStore::Open(*url, {});
  if (!store.ok()) return store.status();
  MeasureRows(**store, disk, commits);
  return (*store)->Close(Soon());
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const testkit::TempDir directory(absl::GetFlag(FLAGS_directory));
  sqlite::FailingDisk disk;
  disk.DelaySyncs(absl::ToChronoMicroseconds(absl::GetFlag(FLAGS_sync_delay)));
  const double commits = CommitsPerSecond(directory.File("bare.sqlite3"));
  std::printf("the disk: %.0f commits/s, one row each\nSQLite\n", commits);
  absl::Status status = MeasureSqlite(directory, disk, commits);
  if (status.ok()) {
    std::printf("PostgreSQL\n");
    status = MeasurePostgres(commits);
  }
  std::printf("* orders/s by the disk's commits/s\n");
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
