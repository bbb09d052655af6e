#include "service/config/server_config.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "service/lifecycle/exit_code.h"

ABSL_FLAG(std::string, address, "127.0.0.1:50051",
          "Where to listen, HOST:PORT; port 0: any free one; host 0.0.0.0: everywhere.");
ABSL_FLAG(std::string, port_file, "",
          "Write the bound HOST:PORT into this file once the server serves.");
ABSL_FLAG(absl::Duration, termination_grace, absl::Seconds(30),
          "From SIGTERM to the end of the process, everything included: what the platform waits "
          "for before it kills. Every budget of the stop is a part of it.");

// Unset: the part's share of what the others leave. See StopBudget::Split().
ABSL_FLAG(std::optional<absl::Duration>, stop_lame_duck, std::nullopt,
          "Budget of the stop: while health says NOT_SERVING and everything is served still.");
ABSL_FLAG(std::optional<absl::Duration>, stop_least_lame_duck, std::nullopt,
          "How much of stop_lame_duck is spent although no call arrives any more.");
ABSL_FLAG(std::optional<absl::Duration>, stop_connections, std::nullopt,
          "Budget of the stop: until the callers' connections are gone or quiet.");
ABSL_FLAG(std::optional<absl::Duration>, stop_calls, std::nullopt,
          "Budget of the stop: until the running calls are answered.");
ABSL_FLAG(std::optional<absl::Duration>, stop_streams, std::nullopt,
          "Budget of the stop: until what was cancelled has ended.");
ABSL_FLAG(std::optional<absl::Duration>, stop_workers, std::nullopt,
          "Budget of the stop: until the background workers have finished their item.");
ABSL_FLAG(std::optional<absl::Duration>, stop_save, std::nullopt,
          "Budget of the stop: until the state is saved.");
ABSL_FLAG(std::optional<absl::Duration>, stop_close, std::nullopt,
          "Budget of the stop: until everything that was opened is closed.");
ABSL_FLAG(std::optional<absl::Duration>, stop_reserve, std::nullopt,
          "Budget of the stop: kept back; the watchdog ends the process when only this is left.");

namespace config {
namespace {

std::optional<lifecycle::Clock::Duration> ByHand(
    const absl::Flag<std::optional<absl::Duration>>& flag) {
  const std::optional<absl::Duration> value = absl::GetFlag(flag);
  if (!value) return std::nullopt;
  return absl::ToChronoNanoseconds(*value);
}

lifecycle::StopBudget BudgetFromFlags() {
  lifecycle::StopBudget::Overrides by_hand;
  by_hand.lame_duck = ByHand(FLAGS_stop_lame_duck);
  by_hand.least_lame_duck = ByHand(FLAGS_stop_least_lame_duck);
  by_hand.connections = ByHand(FLAGS_stop_connections);
  by_hand.calls = ByHand(FLAGS_stop_calls);
  by_hand.streams = ByHand(FLAGS_stop_streams);
  by_hand.workers = ByHand(FLAGS_stop_workers);
  by_hand.save = ByHand(FLAGS_stop_save);
  by_hand.close = ByHand(FLAGS_stop_close);
  by_hand.reserve = ByHand(FLAGS_stop_reserve);
  const absl::StatusOr<lifecycle::StopBudget> budget = lifecycle::StopBudget::Split(
      absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_termination_grace)), by_hand);
  if (!budget.ok()) UsageError(std::string(budget.status().message()));
  return *budget;
}

}  // namespace

ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv) {
  // Under `bazel run`, a path means what it means in the shell that ran it.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(directory) != 0) UsageError(absl::StrCat("cannot go to ", directory));
  }
  absl::SetProgramUsageMessage(usage);
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  if (words.size() > 1) {
    UsageError(absl::StrCat("\"", words[1], "\" is no flag; --help lists them"));
  }
  ServerConfig config;
  config.address = absl::GetFlag(FLAGS_address);
  config.port_file = absl::GetFlag(FLAGS_port_file);
  config.stop = BudgetFromFlags();
  // gRPC adds up to a tenth to a connection's age; the rest is for its last calls.
  config.connection_age =
      std::chrono::duration_cast<std::chrono::milliseconds>(config.stop.connections * 8 / 10);
  return config;
}

void UsageError(const std::string& what) {
  std::fprintf(stderr, "usage: %s\n", what.c_str());
  std::exit(static_cast<int>(lifecycle::ExitCode::kUsage));
}

}  // namespace config
