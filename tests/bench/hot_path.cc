// What the harness costs a call:
//
//     bazel run -c opt //tests/bench:hot_path
//     bazel run -c opt //tests/bench:hot_path -- --callgrind
//
// Starts the bare server and the one in the harness, and calls both in one run, call
// by call in turns: whatever else the machine does, it does to both. Compares round by
// round; a ratio of 1.02 says that the harness's number is 2 % larger.
//
// --callgrind counts the server's instructions instead, which no other load on the
// machine can change: on one processor, where no lock spins, and without what the servers
// do by the clock, which under callgrind weighs a hundred times what it does otherwise.
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/statistics.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/servers/echo/bench.grpc.pb.h"

ABSL_FLAG(std::vector<std::string>, payloads, (std::vector<std::string>{"16", "1024", "65536"}),
          "Bytes of payload, each way.");
ABSL_FLAG(int, rounds, 11, "How often everything is measured.");
ABSL_FLAG(int, calls, 1000, "Calls of one caller to each server in a round.");
ABSL_FLAG(int, callers, 8, "Callers at a time, each with a connection of its own.");
ABSL_FLAG(absl::Duration, slice, absl::Milliseconds(300),
          "How long these callers call one server before they turn to the other.");
ABSL_FLAG(
    std::vector<std::string>, harness_flags, {},
    "Flags for the server in the harness: --max_connection_age=1h adds gRPC's filter for it.");
ABSL_FLAG(std::vector<std::string>, bare_flags, {},
          "Flags for the bare server: --nolook_for_deadlocks makes it as cheap as the harness.");
ABSL_FLAG(bool, callgrind, false, "Count the servers' instructions under valgrind instead.");
ABSL_FLAG(int, callgrind_calls, 1000, "How many calls more the longer of two counted runs has.");

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
using testkit::ServerProcess;

constexpr char kBare[] = "tests/bench/bare_server";
constexpr char kHarness[] = "tests/servers/echo/echo_server";

// A number that cannot be measured is not made up.
void OrDie(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

std::vector<std::string> FlagsOf(const std::string& binary) {
  return absl::GetFlag(binary == kBare ? FLAGS_bare_flags : FLAGS_harness_flags);
}

// One caller: a connection that it shares with nobody, and one call at a time.
class Caller {
 public:
  explicit Caller(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = Bench::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  // Returns how long the answer took, in microseconds.
  double Call(const EchoRequest& request) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    EchoReply reply;
    const Clock::time_point start = Clock::now();
    const grpc::Status status = stub_->Echo(&context, request, &reply);
    const std::chrono::duration<double, std::micro> took = Clock::now() - start;
    OrDie(status.ok(), "a call failed: " + status.error_message());
    return took.count();
  }

 private:
  std::unique_ptr<Bench::Stub> stub_;
};

// A server and those who call it.
class Side {
 public:
  explicit Side(const std::string& binary) {
    auto server = ServerProcess::Start({.binary = binary, .flags = FlagsOf(binary)});
    OrDie(server.ok(), server.status().ToString());
    server_ = *std::move(server);
    for (int i = 0; i < std::max(absl::GetFlag(FLAGS_callers), 1); ++i) {
      callers_.push_back(std::make_unique<Caller>(server_->address()));
    }
  }

  // The first of the callers, which is all there is of them when one calls alone.
  Caller& caller() { return *callers_.front(); }

  // All callers call as fast as they can. Returns what each call took.
  std::vector<double> CallTogether(const EchoRequest& request, Clock::duration duration) {
    std::vector<std::vector<double>> latencies(callers_.size());
    std::vector<std::thread> threads;
    const Clock::time_point end = Clock::now() + duration;
    for (std::size_t i = 0; i < callers_.size(); ++i) {
      threads.emplace_back([&, i] {
        do {
          latencies[i].push_back(callers_[i]->Call(request));
        } while (Clock::now() < end);
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::vector<double> all;
    for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
    return all;
  }

  // What the server has spent of the CPU in its life, in microseconds.
  double CpuSpent() const { return CpuSpentBy(server_->process().pid()); }

 private:
  std::unique_ptr<ServerProcess> server_;
  std::vector<std::unique_ptr<Caller>> callers_;
};

// One number for each round.
struct Rounds {
  std::vector<double> calls_per_second, p50, p99, cpu_per_call;

  void Add(const std::vector<double>& latencies, double callers, double cpu) {
    double sum = 0;
    for (const double latency : latencies) sum += latency;
    // Every caller calls without a pause, so the latencies are all the time there is.
    calls_per_second.push_back(static_cast<double>(latencies.size()) * callers / sum * 1e6);
    p50.push_back(Percentile(latencies, 0.50));
    p99.push_back(Percentile(latencies, 0.99));
    cpu_per_call.push_back(cpu / static_cast<double>(latencies.size()));
  }
};

struct Both {
  Rounds bare, harness;
};

// One caller, the two servers in turns; who is first changes with every call.
void RoundOfOneCaller(Side& bare, Side& harness, const EchoRequest& request, Both& both) {
  std::vector<double> of_bare, of_harness;
  const double bare_before = bare.CpuSpent();
  const double harness_before = harness.CpuSpent();
  for (int i = 0; i < absl::GetFlag(FLAGS_calls); ++i) {
    if (i % 2 == 0) of_bare.push_back(bare.caller().Call(request));
    of_harness.push_back(harness.caller().Call(request));
    if (i % 2 == 1) of_bare.push_back(bare.caller().Call(request));
  }
  both.bare.Add(of_bare, 1, bare.CpuSpent() - bare_before);
  both.harness.Add(of_harness, 1, harness.CpuSpent() - harness_before);
}

// All callers, first at one server, then at the other.
void RoundOfAllCallers(Side& side, const EchoRequest& request, Rounds& rounds) {
  const double before = side.CpuSpent();
  const std::vector<double> latencies =
      side.CallTogether(request, absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_slice)));
  rounds.Add(latencies, absl::GetFlag(FLAGS_callers), side.CpuSpent() - before);
}

void PrintHeader(const std::string& title) {
  std::printf("\n%-34s %9s %9s   %s\n", title.c_str(), "bare", "harness",
              "harness/bare (min .. max)");
}

void PrintRow(const char* name, const std::vector<double>& bare,
              const std::vector<double>& harness) {
  const Spread ratio = RatioSpread(harness, bare);
  std::printf("  %-32s %9.1f %9.1f   %.3f (%.3f .. %.3f)\n", name, SpreadOf(bare).median,
              SpreadOf(harness).median, ratio.median, ratio.min, ratio.max);
}

void Print(const std::string& title, const Both& both) {
  PrintHeader(title);
  PrintRow("calls/s", both.bare.calls_per_second, both.harness.calls_per_second);
  PrintRow("p50, us", both.bare.p50, both.harness.p50);
  PrintRow("p99, us", both.bare.p99, both.harness.p99);
  PrintRow("server CPU, us/call", both.bare.cpu_per_call, both.harness.cpu_per_call);
}

EchoRequest RequestOf(const std::string& bytes) {
  std::size_t size = 0;
  OrDie(absl::SimpleAtoi(bytes, &size), "--payloads: no number: " + bytes);
  EchoRequest request;
  request.set_payload(std::string(size, 'x'));
  return request;
}

void MeasureTime() {
  Side bare(kBare);
  Side harness(kHarness);
  for (const std::string& payload : absl::GetFlag(FLAGS_payloads)) {
    const EchoRequest request = RequestOf(payload);
    Both alone;
    Both together;
    // The first round warms up and counts for nothing.
    for (int round = 0; round <= absl::GetFlag(FLAGS_rounds); ++round) {
      if (round == 1) alone = together = {};
      RoundOfOneCaller(bare, harness, request, alone);
      if (round % 2 == 0) RoundOfAllCallers(bare, request, together.bare);
      RoundOfAllCallers(harness, request, together.harness);
      if (round % 2 == 1) RoundOfAllCallers(bare, request, together.bare);
    }
    Print(absl::StrCat("1 caller, ", payload, " bytes"), alone);
    Print(absl::StrCat(absl::GetFlag(FLAGS_callers), " callers, ", payload, " bytes"), together);
    std::fflush(stdout);
  }
}

void UseOneProcessor() {
  cpu_set_t allowed;
  OrDie(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "no processors");
  int first = 0;
  while (!CPU_ISSET(first, &allowed)) ++first;
  CPU_ZERO(&allowed);
  CPU_SET(first, &allowed);
  OrDie(sched_setaffinity(0, sizeof allowed, &allowed) == 0, "not one processor");
}

// The instructions of a server in all its life, in which it answers `calls` and then waits
// until it has served for as long as `duration`; which is then how long that took.
double CountInstructions(const std::string& binary, const EchoRequest& request, int calls,
                         Clock::duration& duration) {
  const testkit::TempDir directory;
  const std::string output = directory.File("callgrind.out");
  auto server = ServerProcess::Start(
      {.binary = binary,
       .flags = FlagsOf(binary),
       .under = {"/usr/bin/valgrind", "--tool=callgrind", "--callgrind-out-file=" + output}});
  OrDie(server.ok(), server.status().ToString());
  {
    const Clock::time_point begun = Clock::now();
    Caller caller((*server)->address());
    for (int i = 0; i < calls; ++i) caller.Call(request);
    std::this_thread::sleep_until(begun + duration);
    duration = Clock::now() - begun;
  }
  // An interrupt: nobody is left to be waited for.
  testkit::ChildProcess& process = (*server)->process();
  process.Signal(SIGINT);
  OrDie(process.Wait(std::chrono::seconds(60)) == testkit::Ending::Exited(0),
        "the server did not end well: " + process.Output());
  std::ifstream file(output);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const absl::StatusOr<std::int64_t> total = CallgrindTotal(text);
  OrDie(total.ok(), total.status().ToString());
  return static_cast<double>(*total);
}

double InstructionsPerCall(const std::string& binary, const EchoRequest& request) {
  const int few = 100;
  const int many = few + absl::GetFlag(FLAGS_callgrind_calls);
  Clock::duration duration{};
  const double cost_of_many = CountInstructions(binary, request, many, duration);
  return CostOfOneMore(few, CountInstructions(binary, request, few, duration), many, cost_of_many);
}

void MeasureInstructions() {
  UseOneProcessor();
  PrintHeader("server instructions per call");
  for (const std::string& payload : absl::GetFlag(FLAGS_payloads)) {
    const EchoRequest request = RequestOf(payload);
    std::vector<double> bare, harness;
    for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
      bare.push_back(InstructionsPerCall(kBare, request));
      harness.push_back(InstructionsPerCall(kHarness, request));
    }
    PrintRow(absl::StrCat(payload, " bytes").c_str(), bare, harness);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
#ifndef NDEBUG
  std::printf("Not optimised: use `bazel run -c opt`.\n");
#endif
  if (absl::GetFlag(FLAGS_callgrind)) {
    bench::MeasureInstructions();
  } else {
    bench::MeasureTime();
  }
  return 0;
}
