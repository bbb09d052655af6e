// What becomes of many open streams when their server is stopped:
//
//     bazel run -c opt //tests/bench:open_streams
//
// Opens the same streams to each server in turn, sends it SIGTERM, and waits until
// every stream and the server have ended. Counts the streams that were told goodbye
// (UNAVAILABLE with RetryInfo), those that merely ended, and the exit code; the time
// from the signal to the end of the last stream is compared with the quickest that bare
// gRPC can do, in the same run.
//
// Exits with 0 only if the harness told every stream goodbye, and stopped clean and in order.
#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_format.h"
#include "client/error_details.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "tests/common/order_rules.h"
#include "tests/common/server_process.h"
#include "tests/servers/echo/bench.grpc.pb.h"

ABSL_FLAG(int, streams, 10000, "How many streams are open.");
ABSL_FLAG(int, connections, 20, "Over how many connections.");

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
using testkit::Ending;

constexpr std::chrono::seconds kLimit{120};

struct Row {
  std::string name;
  std::string binary;
  std::vector<std::string> flags;
  bool says_goodbye;
};

// How many streams have said their first message, and how they ended.
class Tally {
 public:
  void Opened() { Count(opened_); }
  void Ended(const grpc::Status& status) {
    const absl::Status end = client::FromGrpc(status);
    std::lock_guard lock(mutex_);
    last_end_ = Clock::now();
    if (absl::IsUnavailable(end) && client::RetryDelay(end).has_value()) ++told_;
    ++ended_;
    changed_.notify_all();
  }

  // False: it took too long.
  bool AwaitOpened(int streams) { return Await(opened_, streams); }
  bool AwaitEnded(int streams) { return Await(ended_, streams); }

  int opened() const { return opened_; }
  int told() const { return told_; }
  int ended() const { return ended_; }
  Clock::time_point last_end() const { return last_end_; }

 private:
  void Count(int& what) {
    std::lock_guard lock(mutex_);
    ++what;
    changed_.notify_all();
  }
  bool Await(const int& what, int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLimit, [&] { return what >= count; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int opened_ = 0, told_ = 0, ended_ = 0;  // Guarded by mutex_.
  Clock::time_point last_end_;             // Guarded by mutex_.
};

// A stream that says one message, and no more until it ends.
class Watcher final : public grpc::ClientReadReactor<Event> {
 public:
  Watcher(Bench::Stub& stub, Tally& tally) : tally_(tally) {
    request_.set_interval_ms(std::numeric_limits<std::uint32_t>::max());
    stub.async()->Watch(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    tally_.Opened();
    StartRead(&event_);
  }
  void OnDone(const grpc::Status& status) override { tally_.Ended(status); }

  Tally& tally_;
  grpc::ClientContext context_;
  WatchRequest request_;
  Event event_;
};

std::unique_ptr<Bench::Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return Bench::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

// Prints the row; false: something was not as promised.
bool Measure(const Row& row) {
  const int streams = absl::GetFlag(FLAGS_streams);
  auto server = testkit::ServerProcess::Start({.binary = row.binary, .flags = row.flags});
  if (!server.ok()) {
    absl::FPrintF(stderr, "%s: %s\n", row.name, server.status().ToString());
    return false;
  }
  Tally tally;
  std::vector<std::unique_ptr<Bench::Stub>> stubs(absl::GetFlag(FLAGS_connections));
  for (auto& stub : stubs) stub = Connect((*server)->address());
  std::deque<Watcher> watchers;
  for (int i = 0; i < streams; ++i) watchers.emplace_back(*stubs[i % stubs.size()], tally);
  const bool all_open = tally.AwaitOpened(streams);

  const Clock::time_point stopped_at = Clock::now();
  (*server)->process().Signal(SIGTERM);
  const bool all_ended = tally.AwaitEnded(streams);
  // What still runs must not outlive what it runs on.
  for (Watcher& watcher : watchers) watcher.Cancel();
  if (!tally.AwaitEnded(streams)) std::abort();
  const Ending ending = (*server)->process().Wait(kLimit);
  // A bare server tells nothing.
  std::vector<std::string> broken;
  if (row.says_goodbye) broken = testkit::BrokenRules((*server)->process().Output(), ending);

  const double seconds = std::chrono::duration<double>(tally.last_end() - stopped_at).count();
  absl::PrintF("%-34s %8d %8d %8d %10.2f s   %s\n", row.name, tally.opened(), tally.told(),
               tally.ended() - tally.told(), seconds,
               ending == Ending::Exited(0) ? "exit code 0" : "NOT exit code 0");
  for (const std::string& rule : broken) absl::PrintF("  %s\n", rule);
  if (row.says_goodbye && ending != Ending::Exited(0)) {
    absl::PrintF("%s\n", (*server)->process().Output());
  }
  std::fflush(stdout);
  return all_open && all_ended && broken.empty() &&
         (!row.says_goodbye || (tally.told() == streams && ending == Ending::Exited(0)));
}

bool MeasureAll() {
  const Row rows[] = {
      {"bare, cancelling all", "tests/bench/bare_server", {"--at_signal=cancel"}, false},
      {"bare, finishing all", "tests/bench/bare_server", {"--at_signal=finish"}, false},
      {"bare, as in the tutorial", "tests/bench/bare_server", {"--at_signal=shutdown"}, false},
      // The goodbyes are spread over half of the time for connections at most.
      {"harness, goodbyes all at once",
       "tests/servers/echo/echo_server",
       {"--shutdown_lame_duck=0", "--shutdown_drain_connections=10ms", "--termination_grace=2m"},
       true},
      {"harness, goodbyes at their pace",
       "tests/servers/echo/echo_server",
       {"--shutdown_lame_duck=0", "--termination_grace=2m"},
       true},
  };
  absl::PrintF("%-34s %8s %8s %8s %12s\n", "", "opened", "goodbye", "without", "last end");
  bool good = true;
  for (const Row& row : rows) good = Measure(row) && good;
  return good;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_streams) < 1 || absl::GetFlag(FLAGS_connections) < 1) {
    std::fprintf(stderr, "--streams and --connections must be at least 1\n");
    return 1;
  }
  return bench::MeasureAll() ? 0 : 1;
}
