// The participants of stop.pml in a real process: each does what the command line
// says of it, "pool=hangs". Whoever is not named behaves.
//
//   callers=stay   handler=cancelled|hangs   worker=throws|hangs   saver=fails|hangs
//   files, database, channel, pool: =fails|hangs   destructor=hangs
//   operators=waver: they ask for a drain and take it back, over and over
//   start=fails   report=PATH
//   stuck=BeginShutdown, or any other method of Traffic: main hangs in it

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/drain_request.h"
#include "service/lifecycle/fake_traffic.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/stop_budget.h"
#include "service/observability/drain_report.h"
#include "service/observability/lifecycle_log.h"

namespace {

using lifecycle::Clock;
using lifecycle::ShutdownRegistry;

// Who runs on for ever.
std::atomic<int> hanging{0};

[[noreturn]] void Hang() {
  ++hanging;
  for (;;) pause();
}

void Work(const std::string& how, const std::stop_token& stop) {
  if (how == "throws") throw std::runtime_error("as it was told to");
  if (how == "hangs") Hang();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
}

// Two who do not agree, until it is too late; the last word is to drain.
void Waver(lifecycle::DrainRequest& drain) {
  for (int i = 0; i < 20; ++i) {
    drain.Request();
    for (int yields = 0; yields < 1 << (i / 2); ++yields) std::this_thread::yield();
    if (!drain.Undo().ok()) return;
  }
  drain.Request();
}

ShutdownRegistry::Closer Closer(const std::string& how) {
  return [how](Clock::TimePoint) {
    if (how == "hangs") Hang();
    return how == "fails" ? absl::DataLossError("as it was told to") : absl::OkStatus();
  };
}

// What main owns, and everybody uses.
struct OfMain {
  ~OfMain() {
    if (hanging > 0) std::abort();
    if (hangs) Hang();
  }
  const bool hangs;
};

}  // namespace

// To the thread sanitizer: who leaves by _exit has joined nobody, and leaves at once.
extern "C" const char* __tsan_default_options() {
  return "report_thread_leaks=0:atexit_sleep_ms=0";
}

int main(int argc, char** argv) {
  lifecycle::BlockStopSignals();
  observability::SetUpLog("participants");
  observability::LifecycleLog log;
  std::map<std::string, std::string> how;
  for (const std::string& word : std::vector<std::string>(argv + 1, argv + argc)) {
    how[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
  }

  observability::DrainReport report("participants", how["report"], log);
  // A reserve that a busy machine writes a report in.
  lifecycle::Process process(
      *lifecycle::StopBudget::Split(
          std::chrono::seconds(4),
          {.reserve = std::chrono::milliseconds(1100), .least_lame_duck = Clock::Duration{}}),
      report);
  std::puts("starting");  // From here on a signal is a request.
  std::fflush(stdout);
  const OfMain of_main{how["destructor"] == "hangs"};

  ShutdownRegistry& registry = process.registry();
  std::future<void> operators;
  registry.Register("operators",
                    [&operators](Clock::TimePoint) {
                      if (operators.valid()) operators.wait();
                      return absl::OkStatus();
                    },
                    {.used_by_all = true});
  const std::vector<ShutdownRegistry::Handle> nothing;
  const auto files = registry.Register("files", Closer(how["files"]), {.uses = nothing});
  const auto database = registry.Register("database", Closer(how["database"]), {.uses = {{files}}});
  const auto channel = registry.Register("channel", Closer(how["channel"]), {.uses = {{files}}});
  registry.Register("pool", Closer(how["pool"]), {.uses = {{database, channel}}});
  process.SaveOnStop("saver", Closer(how["saver"]));
  process.workers().Start("worker",
                          [worker = how["worker"]](std::stop_token stop) { Work(worker, stop); });

  if (how["start"] == "fails") {
    return process.CouldNotStart(absl::UnavailableError("as it was told to"));
  }
  lifecycle::FakeTraffic traffic;
  traffic.quiet = traffic.connections_gone = how["callers"] != "stay";
  traffic.calls_that_do_not_finish = how.contains("handler") ? 1 : 0;
  traffic.ends = how["handler"] != "hangs";
  if (!traffic.ends) ++hanging;
  traffic.on_call = [stuck = how["stuck"]](const std::string& method) {
    if (method == stuck) Hang();
  };
  if (how["operators"] == "waver") {
    operators = std::async(std::launch::async, [&process] { Waver(process.drain_request()); });
  }
  return process.ServeUntilStopped(traffic);
}
