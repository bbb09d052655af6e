// Real servers, with faults and load at random, stopped by one to three signals at
// random moments. Every shutdown ends inside its grace, with the exit code that its faults
// lead to; its log keeps to the rules of tests/model/shutdown.pml, and its report to
// docs/shutdown_report.schema.json.
//
//   bazel test //tests/process:random_shutdowns --test_output=all            1,000 stops
//   bazel test //tests/process:random_shutdowns_test                         a few
//   bazel test //tests/process:random_shutdowns --test_output=all --test_arg=--seed=42
//
// A failure names its seed, and --seed runs that one alone. Prints how the stops ended.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/child_process.h"
#include "tests/common/order_rules.h"
#include "tests/common/port_file.h"
#include "tests/common/runfiles.h"
#include "tests/common/sanitized.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/faulty_server_uses.h"
#include "tests/process/open_stream.h"
#include "tests/servers/echo/bench.grpc.pb.h"

ABSL_FLAG(unsigned, stops, 1000, "How many.");
ABSL_FLAG(unsigned, seed, 0, "This one alone; 0: all, counted from 1.");
ABSL_FLAG(int, at_once, 2, "How many servers at a time.");

namespace process_test {
namespace {

using lifecycle::ExitCode;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{60};

// The reserve is what a busy machine may be late: the watchdog fires when half of it
// is left.
// To start takes a sanitizer a second. So many times fewer are stopped.
constexpr int kSlowness = testkit::kSanitized ? 3 : 1;
constexpr milliseconds kGrace{4000 * kSlowness};

std::vector<std::string> Budget() {
  std::vector<std::string> flags;
  const auto add = [&flags](const std::string& name, int ms) {
    flags.push_back("--" + name + "=" + std::to_string(ms * kSlowness) + "ms");
  };
  add("termination_grace", 4000);
  add("shutdown_lame_duck", 300);
  add("shutdown_drain_connections", 500);
  for (const char* const share : {"drain_calls", "cancel_calls", "stop_workers", "save_state"}) {
    add(std::string("shutdown_") + share, 300);
  }
  add("shutdown_close_resources", 1000);
  return flags;
}

// How the stops ended, to be told in the end.
class Tally {
 public:
  void Add(const std::vector<std::string>& what, Ending ending, milliseconds took,
           bool has_report) {
    std::lock_guard lock(mutex_);
    ++stops_;
    if (!has_report) ++without_report_;
    slowest_ = std::max(slowest_, took);
    ++rows_["all stops"][ending.number];
    for (const std::string& each : what) ++rows_[each][ending.number];
  }

  void Print() const {
    std::lock_guard lock(mutex_);
    std::printf("\n%-22s", "exit code");
    for (int code = 0; code <= 6; ++code) std::printf("%7d", code);
    for (const auto& [what, codes] : rows_) {
      std::printf("\n%-22s", what.c_str());
      for (int code = 0; code <= 6; ++code) {
        const auto found = codes.find(code);
        found == codes.end() ? std::printf("%7s", ".") : std::printf("%7d", found->second);
      }
    }
    std::printf("\nthe slowest took %ld ms of %ld\n", slowest_.count(), kGrace.count());
    std::printf("reports that could not be written in their time: %d of %d\n", without_report_,
                stops_);
  }

  // Only what a busy machine may be late for.
  bool FewWithoutReport() const {
    std::lock_guard lock(mutex_);
    return without_report_ <= 1 + stops_ / 100;
  }

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_. By what was done, and then by exit code.
  std::map<std::string, std::map<int, int>> rows_;
  milliseconds slowest_{0};  // Guarded by mutex_.
  int stops_ = 0;            // Guarded by mutex_.
  int without_report_ = 0;   // Guarded by mutex_.
};

// Calls one after the other, on a connection of its own, until a call fails.
class BusyCaller {
 public:
  explicit BusyCaller(const std::string& address)
      : calling_(
            [stub = bench::Bench::NewStub(rpc::NewConnection(address))](std::stop_token leave) {
              grpc::Status status;
              for (std::uint32_t calls = 0; status.ok() && !leave.stop_requested(); ++calls) {
                grpc::ClientContext context;
                const std::stop_callback cancel(leave, [&context] { context.TryCancel(); });
                bench::EchoRequest request;
                request.set_sleep_ms(calls % 20);
                bench::EchoReply reply;
                status = stub->Echo(&context, request, &reply);
              }
            }) {}

 private:
  std::jthread calling_;
};

// One server and what happens to it.
class RandomStop {
 public:
  RandomStop(unsigned seed, std::string report) : random_(seed), report_(std::move(report)) {
    Choose();
  }

  // Returns how long it took.
  milliseconds Run(Tally& tally) {
    Start();
    const auto begun = steady_clock::now();
    if (!start_fails_) {
      process_->Signal(first_);
      for (const milliseconds pause : further_signals_) {
        process_->Wait(pause);
        process_->Signal(SIGINT);
      }
    }
    const Ending ending = testkit::AwaitShutdown(*process_, kLimit, kFaultyUses);
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun);
    EXPECT_EQ(ending.how, Ending::How::kExited) << ending;
    const std::string output = process_->Output();
    EXPECT_THAT(Expected(), ::testing::Contains(ending.number)) << output;
    tally.Add(what_, ending, took, HasReport(output, ending));
    if (took > kGrace)
      std::printf("%ld ms of %ld:\n%s", took.count(), kGrace.count(), output.c_str());
    return took;
  }

  std::string ToString() const { return absl::StrJoin(what_, ", "); }

 private:
  unsigned Pick(unsigned of) { return static_cast<unsigned>(random_() % of); }
  bool OnceIn(unsigned so_many) { return Pick(so_many) == 0; }

  // Once in so many times, somebody does one of these things.
  void Maybe(unsigned rarity, const std::string& who, const std::vector<std::string>& how) {
    if (!OnceIn(rarity)) return;
    faults_[who] = how[Pick(static_cast<unsigned>(how.size()))];
    what_.push_back(who + "=" + faults_[who]);
  }

  // Once in so many times, this is so.
  bool Maybe(unsigned rarity, const std::string& what) {
    if (!OnceIn(rarity)) return false;
    what_.push_back(what);
    return true;
  }

  // Everything is chosen before anything happens, so that a seed means the same on
  // every machine.
  void Choose() {
    start_fails_ = Maybe(30, "start fails");
    starting_ = !start_fails_ && Maybe(12, "signal at the start");
    Maybe(6, "worker", {"throws", "hangs"});
    for (const char* each : {"saver", "files", "database", "channel", "pool"}) {
      Maybe(9, each, {"fails", "throws", "hangs"});
    }
    Maybe(16, "destructor", {"hangs"});
    Maybe(30, "goodbye", {"hangs"});
    Maybe(10, "operators", {"waver"});
    // A manual drain may have sent callers away before they are there.
    if (!start_fails_ && !starting_ && !faults_.contains("operators")) ChooseLoad();

    if (start_fails_) return;
    first_ = Maybe(3, "SIGINT") ? SIGINT : SIGTERM;
    when_ = milliseconds(Pick(40));
    if (!Maybe(4, "second signal")) return;
    further_signals_.push_back(milliseconds(Pick(1500)));
    if (Maybe(2, "third signal")) further_signals_.push_back(milliseconds(Pick(150)));
  }

  void ChooseLoad() {
    busy_callers_ = Maybe(2, "busy callers") ? 1 + Pick(2) : 0;
    Maybe(16, "handler", {"hangs"});
    // It answers no stream.
    const bool streams = !faults_.contains("handler");
    watchers_ = streams && Maybe(4, "watchers") ? 1 + Pick(3) : 0;
    long_call_ = Maybe(12, "call that runs on");
    deaf_call_ = Maybe(12, "call that never ends");
    unread_ = streams && Maybe(16, "caller does not read");
  }

  void Start() {
    const std::string port_file =
        start_fails_ ? directory_.File("missing") + "/port" : directory_.File("port");
    std::vector<std::string> command = {testkit::RunfileOrDie("tests/process/faulty_server"),
                                        "--address=127.0.0.1:0", "--port_file=" + port_file};
    const std::vector<std::string> budget = Budget();
    command.insert(command.end(), budget.begin(), budget.end());
    std::vector<std::string> faults;
    for (const auto& [who, how] : faults_) faults.push_back(absl::StrCat(who, "=", how));
    command.push_back("--fault=" + absl::StrJoin(faults, ","));
    command.push_back("--shutdown_report=" + report_);
    process_ = std::make_unique<testkit::ChildProcess>(command);
    ASSERT_TRUE(process_->AwaitOutput("starting", kLimit)) << process_->Output();
    if (!starting_ && !start_fails_) {
      const auto address = testkit::AwaitPortFile(port_file, *process_, kLimit);
      ASSERT_TRUE(address.ok()) << address.status();
      ASSERT_NO_FATAL_FAILURE(StartLoad(*address));
    }
    if (!start_fails_) process_->Wait(when_);
  }

  // Returns once the server has accepted what it will not be able to finish.
  void StartLoad(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // Or flow control lets ever more go unread.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    channel_ = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
    stub_ = bench::Bench::NewStub(channel_);
    for (unsigned i = 0; i < busy_callers_; ++i) {
      callers_.push_back(std::make_unique<BusyCaller>(address));
    }
    bench::WatchRequest watch;
    watch.set_interval_ms(20);
    for (unsigned i = 0; i < watchers_; ++i) ASSERT_TRUE(Open(watch)->Read().has_value());
    if (unread_) {
      bench::WatchRequest large;  // Larger than what flow control lets go unread.
      large.set_payload(std::string(3 << 20, 'x'));
      ASSERT_TRUE(Open(large)->Read().has_value());
    }
    if (long_call_) calls_.push_back(std::make_unique<EchoCall>(*stub_, 3'600'000, kLimit));
    if (deaf_call_) calls_.push_back(std::make_unique<EchoCall>(*stub_, kForEver, kLimit));
    // An answer to a later call on the same connection: those before were accepted.
    ASSERT_TRUE(EchoCall(*stub_, 0, kLimit).Status().ok());
    if (!faults_.contains("handler")) return;
    Open(watch);
    ASSERT_TRUE(process_->AwaitOutput("handler hangs", kLimit)) << process_->Output();
  }

  OpenStream* Open(const bench::WatchRequest& request) {
    streams_.push_back(std::make_unique<OpenStream>(channel_, "/bench.Bench/Watch",
                                                    request.SerializeAsString(), kLimit));
    return streams_.back().get();
  }

  bool Has(const std::string& who, const std::string& how) const {
    const auto found = faults_.find(who);
    return found != faults_.end() && found->second == how;
  }

  // Whether there is one, in the last line of its log and in the file. Then both say that
  // the process ends as it does; else the machine was too busy for both, says the log.
  bool HasReport(const std::string& output, Ending ending) const {
    if (output.find("not written in time") != std::string::npos) return false;
    EXPECT_TRUE(std::filesystem::exists(report_)) << output;
    const std::size_t report = std::min(output.rfind("shutdown report: {"), output.size());
    const std::string code = absl::StrCat("\"exit_code\":", ending.number, ",");
    EXPECT_NE(output.find(code, report), std::string::npos) << output;
    return true;
  }

  // Which exit codes are right.
  std::set<int> Expected() const {
    const auto misbehaves = [this](const std::string& who) { return faults_.contains(who); };
    const auto hangs = [this](const std::string& who) { return Has(who, "hangs"); };
    const std::vector<std::string> entries = {"files", "database", "channel", "pool"};
    bool given_up = hangs("worker") || std::any_of(entries.begin(), entries.end(), hangs);
    bool main_hangs = false;
    ExitCode told = ExitCode::kClean;
    const auto at_least = [&told](ExitCode code, bool so) {
      told = so ? std::max(told, code) : told;
    };
    if (start_fails_) {
      told = ExitCode::kCouldNotStart;
    } else {
      given_up |= hangs("saver") || hangs("handler") || deaf_call_;
      main_hangs = hangs("goodbye");
      at_least(ExitCode::kForced, misbehaves("worker") || misbehaves("handler"));
      at_least(ExitCode::kForced, long_call_ || deaf_call_ || unread_);
      at_least(ExitCode::kCloseFailed, misbehaves("saver"));
      at_least(ExitCode::kCloseFailed, std::any_of(entries.begin(), entries.end(), misbehaves));
    }
    // What main owns is destroyed only when nothing can use it any more.
    const bool watchdog = main_hangs || (hangs("destructor") && !given_up);
    std::set<ExitCode> right = {watchdog ? ExitCode::kWatchdog : told};
    if (!further_signals_.empty() && !main_hangs) {
      // A wait may be too short then for what would have ended, on a busy machine.
      right.insert({std::max(told, ExitCode::kForced), std::max(told, ExitCode::kCloseFailed)});
    }
    if (further_signals_.size() > 1) right.insert(ExitCode::kThirdSignal);
    std::set<int> numbers;
    for (const ExitCode code : right) numbers.insert(static_cast<int>(code));
    return numbers;
  }

  std::mt19937 random_;
  const std::string report_;       // The file's path.
  std::vector<std::string> what_;  // Everything that was chosen, in words.
  std::map<std::string, std::string> faults_;
  bool start_fails_ = false;
  bool starting_ = false;  // The signal comes before it serves.
  unsigned busy_callers_ = 0;
  unsigned watchers_ = 0;
  bool long_call_ = false;
  bool deaf_call_ = false;
  bool unread_ = false;
  int first_ = SIGTERM;
  milliseconds when_{0};
  std::vector<milliseconds> further_signals_;  // Between the further signals.

  const testkit::TempDir directory_;
  std::unique_ptr<testkit::ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<bench::Bench::Stub> stub_;
  std::vector<std::unique_ptr<OpenStream>> streams_;
  std::vector<std::unique_ptr<EchoCall>> calls_;
  std::vector<std::unique_ptr<BusyCaller>> callers_;
};

// All at once: the validator takes its time to start.
void ExpectValid(const std::string& reports) {
  std::vector<std::string> command = {testkit::RunfileOrDie("tests/common/validate_json.py"),
                                      testkit::RunfileOrDie("docs/shutdown_report.schema.json")};
  for (const auto& report : std::filesystem::directory_iterator(reports)) {
    command.push_back(report.path());
  }
  EXPECT_GT(command.size(), 2U) << "no reports";
  testkit::ChildProcess validator(command);
  EXPECT_EQ(validator.Wait(kLimit), Ending::Exited(0)) << validator.Output();
}

TEST(RandomStops, EndInTimeAndKeepTheRules) {
  const unsigned only = absl::GetFlag(FLAGS_seed);
  const unsigned last = only != 0 ? only : absl::GetFlag(FLAGS_stops) / kSlowness;
  std::atomic<unsigned> next = only != 0 ? only : 1;
  Tally tally;
  const testkit::TempDir reports;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < absl::GetFlag(FLAGS_at_once); ++i) {
      threads.emplace_back([&] {
        for (unsigned seed; (seed = next++) <= last;) {
          milliseconds took = milliseconds::max();
          // A busy machine may be late by itself; not time and again.
          for (int tries = 0; tries < 5 && took > kGrace; ++tries) {
            RandomStop stop(seed, reports.File(absl::StrCat(seed, "-", tries, ".json")));
            SCOPED_TRACE(absl::StrCat("--seed=", seed, ": ", stop.ToString()));
            took = stop.Run(tally);
          }
          EXPECT_LE(took, kGrace) << "--seed=" << seed;
        }
      });
    }
  }
  tally.Print();
  EXPECT_TRUE(tally.FewWithoutReport());
  ExpectValid(reports.path());
}

}  // namespace
}  // namespace process_test

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
