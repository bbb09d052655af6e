// A server like any other, with a worker, a saver and four entries in its registry,
// of which --fault says who misbehaves, and how. Whoever is not named behaves.
//
//   worker=throws|hangs|dies   saver=fails|throws|hangs
//                         throws: when it is asked to end; dies: at the first stream
//   files, database, channel, pool: =fails|throws|hangs
//   database=slow         takes three seconds, and succeeds
//   second=drained|forgotten  there is a second server, which is stopped with the first, or not
//   handler=hangs|exits   that of each stream, and with it a thread of gRPC's; exits: calls
//                         exit()
//   work=throws           what a stream has a pool do for it
//   threads=none          from the first stream on there is none to be had
//   static=hangs          the destructor of something static
//   goodbye=hangs         what is told that the server leaves; main is in it
//   log=hangs             once the server leaves: whoever logs, with the log's lock; the saver does
//   memory=hangs          the same: main, in malloc(), with the lock of its arena
//   destructor=hangs      of something that main owns
//   operators=waver       they ask for a drain and take it back, over and over
//   start=files|database|channel|pool|server|callers
//                         opening it takes until a shutdown is requested; callers: is
//                         about to let them in until then
//   opener=deaf|hangs|throws  what takes so long at the start takes until a second signal,
//                         or for ever; throws: at once
//
// Calls that never end are for callers to ask for (tests/servers/echo/bench.proto).
//
// Says "starting" once a signal is a request, and who hangs when it does.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "service/config/server_config.h"
#include "service/lifecycle/manual_drain.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/traffic.h"
#include "service/observability/process_log.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"
#include "tests/common/no_threads.h"
#include "tests/servers/echo/bench_service.h"

ABSL_FLAG(std::vector<std::string>, fault, {}, "Who misbehaves, and how: WHO=HOW,WHO=HOW");
ABSL_FLAG(int, more_entries, 0, "How many entries the registry has besides; they behave.");

namespace {

using lifecycle::Clock;
using lifecycle::ShutdownRegistry;

// Who does what.
using Faults = std::map<std::string, std::string>;

Faults FaultsFromFlag() {
  const std::set<std::string> ways = {"fails", "throws", "hangs"};
  const std::map<std::string, std::set<std::string>> known = {
      {"worker", {"throws", "hangs", "dies"}},
      {"saver", ways},
      {"files", ways},
      {"database", {"fails", "throws", "hangs", "slow"}},
      {"second", {"drained", "forgotten"}},
      {"channel", ways},
      {"pool", ways},
      {"handler", {"hangs", "exits"}},
      {"work", {"throws"}},
      {"threads", {"none"}},
      {"static", {"hangs"}},
      {"goodbye", {"hangs"}},
      {"log", {"hangs"}},
      {"memory", {"hangs"}},
      {"destructor", {"hangs"}},
      {"operators", {"waver"}},
      {"start", {"files", "database", "channel", "pool", "server", "callers"}},
      {"opener", {"deaf", "hangs", "throws"}},
  };
  Faults faults;
  for (const std::string& fault : absl::GetFlag(FLAGS_fault)) {
    const std::string who = fault.substr(0, fault.find('='));
    const std::string how = fault.substr(std::min(fault.size(), who.size() + 1));
    if (!known.contains(who) || !known.at(who).contains(how)) {
      config::UsageError("--fault: there is no " + fault);
    }
    faults[who] = how;
  }
  return faults;
}

// Who runs on for ever.
std::atomic<int> hanging{0};

// In the kernel, where nothing that this process does can reach it.
[[noreturn]] void Hang(const std::string& who) {
  ++hanging;
  std::printf("%s hangs\n", who.c_str());
  std::fflush(stdout);
  for (;;) pause();
}

// Whoever logs hangs in it, once it is told to, and holds its lock.
class HangingSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit HangingSink(spdlog::sink_ptr behind) : behind_(std::move(behind)) {}
  static std::atomic<bool> hangs;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (hangs) Hang("log");
    behind_->log(message);
  }
  void flush_() override {}

  const spdlog::sink_ptr behind_;
};

std::atomic<bool> HangingSink::hangs{false};

// As when a page of memory never comes, of a disk that hangs or of a machine that has
// none left: malloc() holds the lock of its arena then, which is that of every thread
// under MALLOC_ARENA_MAX=1.
[[noreturn]] void HangInMalloc() {
  struct sigaction never = {};
  never.sa_handler = [](int) { Hang("memory"); };
  sigaction(SIGSEGV, &never, nullptr);
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int tries = 0; tries < 1000; ++tries) {
    // Behind the newest piece of the heap lies what was given to nobody; before each
    // piece stands its size, with three bits of something else.
    constexpr std::size_t kPiece = 64 << 10;
    const auto piece = reinterpret_cast<std::uintptr_t>(std::malloc(kPiece));
    const auto end_of_heap = reinterpret_cast<std::uintptr_t>(sbrk(0));
    const auto size_at = [](std::uintptr_t at) {
      return *reinterpret_cast<const std::size_t*>(at - sizeof(std::size_t)) & ~std::size_t{7};
    };
    const std::uintptr_t rest = piece + size_at(piece);
    if (rest > end_of_heap || rest + size_at(rest) - 2 * sizeof(std::size_t) != end_of_heap)
      continue;
    const std::uintptr_t protect = (rest + page - 1) / page * page;
    if (protect + 2 * page > end_of_heap) continue;
    mprotect(reinterpret_cast<void*>(protect), end_of_heap - protect, PROT_NONE);
    for (;;) {
      [[maybe_unused]] void* volatile next = std::malloc(page);
    }
  }
  std::abort();  // This is not glibc's malloc().
}

void LeaveBadly(const Faults& faults) {
  if (faults.contains("log")) HangingSink::hangs = true;
  if (faults.contains("memory")) HangInMalloc();
  if (faults.contains("goodbye")) Hang("goodbye");
}

void AwaitRequest(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
}

// `first_stream`: requested when that has come.
void Work(const std::string& how, const std::stop_token& stop,
          const std::stop_token& first_stream) {
  if (how == "hangs") Hang("worker");
  AwaitRequest(how == "dies" ? first_stream : stop);
  if (how == "throws" || how == "dies") throw std::runtime_error("as it was told to");
}

// Two who do not agree, until it is too late; the last word is to drain.
void Waver(lifecycle::ManualDrain& drain) {
  for (int i = 0; i < 20; ++i) {
    drain.Request();
    for (int yields = 0; yields < 1 << (i / 2); ++yields) std::this_thread::yield();
    if (!drain.Undo().ok()) return;
  }
  drain.Request();
}

ShutdownRegistry::Closer Closer(const Faults& faults, const std::string& who) {
  const auto found = faults.find(who);
  const std::string how = found == faults.end() ? "" : found->second;
  return [who, how](Clock::TimePoint) {
    if (how == "hangs") Hang(who);
    if (how == "throws") throw std::runtime_error("as it was told to");
    if (how == "slow") std::this_thread::sleep_for(std::chrono::seconds(3));
    return how == "fails" ? absl::DataLossError("as it was told to") : absl::OkStatus();
  };
}

// Opens what `who` stands for, so that a signal can come in the middle of it.
void Open(const Faults& faults, const std::string& who, lifecycle::ShutdownRequest& stop) {
  const auto slow = faults.find("start");
  if (slow == faults.end() || slow->second != who) return;
  std::printf("opening %s\n", who.c_str());
  std::fflush(stdout);
  const auto opener = faults.find("opener");
  if (opener == faults.end()) {
    stop.Wait();
  } else if (opener->second == "deaf") {
    AwaitRequest(stop.expedited());
  } else if (opener->second == "throws") {
    throw std::runtime_error("as it was told to");
  } else {
    Hang("opener");
  }
}

// gRPC forgets the memory of a timer thread that it could not start (timer_manager.cc).
std::atomic<bool> leaks = false;

void HaveNoMoreThreads() {
  leaks = true;
  (void)new testkit::NoThreads();  // For good.
  std::puts("no more threads");
  std::fflush(stdout);
}

struct HangsInItsDestructor {
  ~HangsInItsDestructor() { Hang("static"); }
};

// What main owns, and everybody uses.
struct OfMain {
  ~OfMain() {
    if (hanging > 0) std::abort();
    if (hangs) Hang("destructor");
  }
  const bool hangs;
};

}  // namespace

// Of asan, when the process exits (sanitizer/lsan_interface.h).
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return leaks ? 1 : 0; }

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();
  config::ServerConfig config =
      config::ParseCommandLine("Serves bench.Bench, and misbehaves as --fault says.", argc, argv);
  const Faults faults = FaultsFromFlag();
  observability::ProcessLog log("faulty", config.log);
  config.LogTo(log);
  spdlog::sink_ptr& sink = spdlog::default_logger()->sinks()[0];
  sink = std::make_shared<HangingSink>(sink);
  lifecycle::Process process(config.budget, log);
  std::puts("starting");  // From here on a signal is a request.
  std::fflush(stdout);
  const OfMain of_main{faults.contains("destructor")};
  if (faults.contains("static")) {
    static const HangsInItsDestructor hangs;
  }

  ShutdownRegistry& registry = process.registry();
  const auto open = [&](const std::string& who) { Open(faults, who, process.shutdown_request()); };
  std::future<void> operators;
  registry.Register("operators",
                    [&operators](Clock::TimePoint) {
                      if (operators.valid()) operators.wait();
                      return absl::OkStatus();
                    },
                    {.used_by_all = true});
  open("files");
  const auto files =
      registry.Register("files", Closer(faults, "files"), {.uses = ShutdownRegistry::kUsesNothing});
  open("database");
  const auto database =
      registry.Register("database", Closer(faults, "database"), {.uses = {{files}}});
  open("channel");
  const auto channel = registry.Register("channel", Closer(faults, "channel"), {.uses = {{files}}});
  open("pool");
  registry.Register("pool", Closer(faults, "pool"), {.uses = {{database, channel}}});
  for (int i = 0; i < absl::GetFlag(FLAGS_more_entries); ++i) {
    registry.Register("entry " + std::to_string(i), Closer(faults, ""),
                      {.uses = ShutdownRegistry::kUsesNothing});
  }
  process.SaveOnShutdown("saver", [save = Closer(faults, "saver")](Clock::TimePoint deadline) {
    if (HangingSink::hangs) spdlog::info("saving");
    return save(deadline);
  });
  const auto worker = faults.find("worker");
  std::stop_source first_stream;
  process.workers().Start("worker",
                          [how = worker == faults.end() ? "" : worker->second, first_stream](
                              std::stop_token stop) { Work(how, stop, first_stream.get_token()); });

  rpc::GoodbyeSignal goodbye;
  const std::stop_callback leave_badly(goodbye.token(), [&faults] { LeaveBadly(faults); });
  const auto handler = faults.find("handler");
  const std::string handler_is = handler == faults.end() ? "" : handler->second;
  rpc::BlockingPool work(/*threads=*/1, /*capacity=*/10, [&process](const absl::Status& failure) {
    process.workers().Fail("work", failure);
  });
  const auto service = std::make_shared<bench::BenchService>([&] {
    first_stream.request_stop();
    if (handler_is == "hangs") Hang("handler");
    if (handler_is == "exits") {
      spdlog::info("this handler calls exit()");
      std::exit(0);
    }
    if (faults.contains("threads")) HaveNoMoreThreads();
    if (faults.contains("work") &&
        !work.Run([] { throw std::runtime_error("as it was told to"); })) {
      std::abort();
    }
  });
  rpc::ServerHost server(config.server, {service}, goodbye);
  open("server");
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  rpc::ServerHost second({}, {service}, goodbye);
  std::vector<lifecycle::Traffic*> servers = {&server};
  if (const auto found = faults.find("second"); found != faults.end()) {
    absl::Status started = second.Start();
    if (found->second == "drained") {
      servers.push_back(&second);
    } else if (started.ok()) {
      started = second.Open();
    }
    if (!started.ok()) return process.CouldNotStart(started);
    log.Print("the second server listens on " + second.address());
  }
  lifecycle::TrafficGroup all(servers);
  open("callers");
  if (faults.contains("operators")) {
    operators = std::async(std::launch::async, [&process] { Waver(process.manual_drain()); });
  }
  return process.ServeUntilShutdown(all);
}
