#include "service/config/server_config.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/config/platform_grace.h"
#include "service/files/write_file.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/rpc/connection_limits.h"
#include "service/rpc/tls.h"

ABSL_FLAG(std::string, address, "127.0.0.1:50051",
          "Where to listen, HOST:PORT; port 0: any free one; host 0.0.0.0: everywhere.");
ABSL_FLAG(std::string, tls_certificate, "",
          "Serve with TLS: the PEM file of the server's certificate, and of those between it and "
          "its root; empty: plaintext.");
ABSL_FLAG(std::string, tls_key, "", "The PEM file of that certificate's private key.");
ABSL_FLAG(std::string, port_file, "",
          "Write the bound HOST:PORT into this file once the server serves.");
ABSL_FLAG(
    std::string, shutdown_report, "",
    "Write what the shutdown did into this file, as JSON (docs/shutdown_report.md), at its end.");
ABSL_FLAG(
    std::string, admin_address, "",
    "Where to listen for operators (`client drain`), HOST:PORT; empty: nowhere. Who can reach "
    "it can take this replica out of service: keep it on loopback.");
ABSL_FLAG(std::string, admin_port_file, "",
          "Write the HOST:PORT that is bound for operators into this file.");
ABSL_FLAG(absl::Duration, termination_grace, absl::Seconds(30),
          "From SIGTERM to the end of the process, everything included: what the platform waits "
          "for before it kills. Every budget of the shutdown is a part of it.");
ABSL_FLAG(std::optional<absl::Duration>, platform_grace, std::nullopt,
          "What the platform really waits for, if it is known: warns when that is less than "
          "termination_grace. Unset: what the environment says (docs/operations.md).");
ABSL_FLAG(bool, print_config, false,
          "Print every setting and every budget that follows, as a file for --flagfile, and exit.");

// Unset: the share of what the others leave. See ShutdownBudget::Split().
ABSL_FLAG(
    std::optional<absl::Duration>, shutdown_lame_duck, std::nullopt,
    "How long health says NOT_SERVING in a shutdown while everything is served still. It is spent "
    "whole, on SIGTERM and in a manual drain: what the platform needs to take notice.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_drain_connections, std::nullopt,
          "Guaranteed share of the shutdown, which may use what earlier ones leave over: until the "
          "callers' connections are gone or silent.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_drain_calls, std::nullopt,
          "Guaranteed share of the shutdown, which may use what earlier ones leave over: until the "
          "running calls are answered.");
ABSL_FLAG(
    std::optional<absl::Duration>, shutdown_cancel_calls, std::nullopt,
    "Guaranteed share of the shutdown, which may use what earlier ones leave over: until what "
    "was cancelled has ended.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_stop_workers, std::nullopt,
          "Guaranteed share of the shutdown, which may use what earlier ones leave over: until the "
          "background workers have finished their item.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_save_state, std::nullopt,
          "Guaranteed share of the shutdown, which may use what earlier ones leave over: until the "
          "state is saved.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_close_resources, std::nullopt,
          "Guaranteed share of the shutdown, which may use what earlier ones leave over: until "
          "everything that was opened is closed.");
ABSL_FLAG(
    std::optional<absl::Duration>, shutdown_reserve, std::nullopt,
    "Budget of the shutdown: kept back; the watchdog ends the process when half of it is left.");

// What one connection may cost: see service/rpc/connection_limits.h for the reasons.
ABSL_FLAG(
    absl::Duration, max_connection_age, absl::FromChrono(rpc::ConnectionLimits().age),
    "A connection of this age is asked to make place for a new one, so that callers spread over "
    "new replicas; 0: never. A shutdown does not need it.");
ABSL_FLAG(absl::Duration, max_connection_idle, absl::FromChrono(rpc::ConnectionLimits().idle),
          "A connection without a call for so long is given up; 0: never.");
ABSL_FLAG(absl::Duration, keepalive_time, absl::FromChrono(rpc::ConnectionLimits().keepalive),
          "A peer that is silent for so long is asked whether it still lives; 0: never.");
ABSL_FLAG(absl::Duration, keepalive_timeout,
          absl::FromChrono(rpc::ConnectionLimits().keepalive_timeout),
          "A peer that does not answer that for so long is given up.");
ABSL_FLAG(absl::Duration, min_ping_interval_without_data,
          absl::FromChrono(rpc::ConnectionLimits().least_ping_interval),
          "A caller that pings more often without data is sent away.");
ABSL_FLAG(absl::Duration, max_connection_age_grace,
          absl::FromChrono(rpc::ConnectionLimits().age_grace),
          "What still runs on a connection so long after its age is cut; 0: never.");
ABSL_FLAG(absl::Duration, handshake_timeout, absl::FromChrono(rpc::ConnectionLimits().handshake),
          "A peer that has connected and does not begin to speak HTTP/2 for so long is given up.");
ABSL_FLAG(int, max_connections, rpc::ConnectionLimits().connections,
          "Connections at one time; more are closed at once; 0: as many as there are descriptors.");
ABSL_FLAG(int, reserved_descriptors, rpc::ConnectionLimits().reserved_descriptors,
          "Descriptors that connections leave to operators, databases and backends; at most a "
          "quarter of those that the process may have. A quarter of them is out of operators' "
          "reach, too.");
ABSL_FLAG(int, max_calls_in_flight, rpc::ConnectionLimits().total_calls,
          "Calls of all connections at one time; more are refused (RESOURCE_EXHAUSTED), before all "
          "are too late; 0: no limit.");
ABSL_FLAG(int, max_resets_per_second, rpc::ConnectionLimits().resets_per_second,
          "A connection is ended when so many of its calls, and more than half, fail within a "
          "second: a reset costs its caller nothing; 0: never.");
ABSL_FLAG(std::int64_t, memory_quota_bytes, rpc::ConnectionLimits().memory_bytes,
          "What gRPC may use for calls and for messages that are not whole yet; above, it ends "
          "streams; 0: no limit.");
ABSL_FLAG(bool, request_compression, rpc::ConnectionLimits().compression,
          "Read compressed requests. Off: a megabyte can become a gigabyte before it is refused.");
ABSL_FLAG(int, max_concurrent_streams, rpc::ConnectionLimits().concurrent_calls,
          "Calls of one connection at one time; more wait at the caller, who is cut off if he does "
          "not wait.");
ABSL_FLAG(int, max_receive_message_size, rpc::ConnectionLimits().request_bytes,
          "The largest message that is read.");
ABSL_FLAG(int, max_send_message_size, rpc::ConnectionLimits().response_bytes,
          "The largest message that is sent.");

namespace config {
namespace {

using lifecycle::Clock;
using lifecycle::ShutdownBudget;

// Nothing, when there is nothing to warn of.
void Warn(const std::string& warning) {
  // A server whose log nobody reads starts all the same.
  if (!warning.empty()) lifecycle::WriteLastWords({"warning: ", warning});
}

// A share of the budget, as its flag sets it and as it is in the end.
struct Share {
  absl::Flag<std::optional<absl::Duration>>* flag;
  std::optional<Clock::Duration> ShutdownBudget::Overrides::*by_hand;
  Clock::Duration ShutdownBudget::*share;
};

#define SHARE(name) \
  { &FLAGS_shutdown_##name, &ShutdownBudget::Overrides::name, &ShutdownBudget::name }
const Share kShares[] = {
    SHARE(lame_duck),    SHARE(drain_connections), SHARE(drain_calls),     SHARE(cancel_calls),
    SHARE(stop_workers), SHARE(save_state),        SHARE(close_resources), SHARE(reserve)};
#undef SHARE

ShutdownBudget BudgetFromFlags() {
  ShutdownBudget::Overrides by_hand;
  for (const Share& each : kShares) {
    if (const std::optional<absl::Duration> value = absl::GetFlag(*each.flag)) {
      by_hand.*each.by_hand = absl::ToChronoNanoseconds(*value);
    }
  }
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(
      absl::ToChronoNanoseconds(absl::GetFlag(FLAGS_termination_grace)), by_hand);
  if (!budget.ok()) UsageError(std::string(budget.status().message()));
  return *budget;
}

// gRPC counts these in milliseconds in an int.
std::chrono::milliseconds Milliseconds(const char* flag, absl::Duration value) {
  if (value < absl::ZeroDuration() || value > absl::Hours(24 * 7)) {
    UsageError(
        absl::StrCat("--", flag, " must be from 0 to a week, is ", absl::FormatDuration(value)));
  }
  return absl::ToChronoMilliseconds(value);
}

template <typename Number>
Number NotNegative(const char* flag, Number value) {
  if (value < 0) UsageError(absl::StrCat("--", flag, " must be 0 or more, is ", value));
  return value;
}

int Positive(const char* flag, int value) {
  if (value < 1) UsageError(absl::StrCat("--", flag, " must be at least 1, is ", value));
  return value;
}

rpc::ConnectionLimits LimitsFromFlags() {
  rpc::ConnectionLimits limits;
  limits.age = Milliseconds("max_connection_age", absl::GetFlag(FLAGS_max_connection_age));
  limits.age_grace =
      Milliseconds("max_connection_age_grace", absl::GetFlag(FLAGS_max_connection_age_grace));
  limits.handshake = Milliseconds("handshake_timeout", absl::GetFlag(FLAGS_handshake_timeout));
  limits.connections = NotNegative("max_connections", absl::GetFlag(FLAGS_max_connections));
  limits.reserved_descriptors =
      NotNegative("reserved_descriptors", absl::GetFlag(FLAGS_reserved_descriptors));
  limits.total_calls = NotNegative("max_calls_in_flight", absl::GetFlag(FLAGS_max_calls_in_flight));
  limits.resets_per_second =
      NotNegative("max_resets_per_second", absl::GetFlag(FLAGS_max_resets_per_second));
  limits.memory_bytes = NotNegative("memory_quota_bytes", absl::GetFlag(FLAGS_memory_quota_bytes));
  limits.compression = absl::GetFlag(FLAGS_request_compression);
  limits.idle = Milliseconds("max_connection_idle", absl::GetFlag(FLAGS_max_connection_idle));
  limits.keepalive = Milliseconds("keepalive_time", absl::GetFlag(FLAGS_keepalive_time));
  limits.keepalive_timeout =
      Milliseconds("keepalive_timeout", absl::GetFlag(FLAGS_keepalive_timeout));
  limits.least_ping_interval = Milliseconds("min_ping_interval_without_data",
                                            absl::GetFlag(FLAGS_min_ping_interval_without_data));
  limits.concurrent_calls =
      Positive("max_concurrent_streams", absl::GetFlag(FLAGS_max_concurrent_streams));
  limits.request_bytes =
      Positive("max_receive_message_size", absl::GetFlag(FLAGS_max_receive_message_size));
  limits.response_bytes =
      Positive("max_send_message_size", absl::GetFlag(FLAGS_max_send_message_size));
  return limits;
}

std::optional<PlatformGrace> PlatformFromFlags(const ShutdownBudget& budget) {
  const auto platform = PlatformGraceFrom(absl::GetFlag(FLAGS_platform_grace),
                                          [](const char* name) { return std::getenv(name); });
  if (!platform.ok()) UsageError(std::string(platform.status().message()));
  if (!*platform) return std::nullopt;
  Warn(PlatformWarning(**platform, absl::FromChrono(budget.grace)));
  return **platform;
}

// What follows from other flags is set as if it had been set by hand.
void SetDerivedFlags(const ServerConfig& config) {
  for (const Share& each : kShares) {
    absl::SetFlag(each.flag, absl::FromChrono(config.budget.*each.share));
  }
}

[[noreturn]] void CouldNotStart(const char* flag, const absl::Status& why) {
  lifecycle::WriteLastWords({"could not start: --", flag, ": ", std::string(why.message())});
  std::exit(static_cast<int>(lifecycle::ExitCode::kCouldNotStart));
}

// Now, while somebody looks: it is written at the very end.
void CheckReportFile(const std::string& path) {
  if (path.empty()) return;
  if (const absl::Status writable = files::CheckWritable(path); !writable.ok()) {
    CouldNotStart("shutdown_report", writable);
  }
}

bool TlsIsWanted() {
  const bool certificate = !absl::GetFlag(FLAGS_tls_certificate).empty();
  const bool key = !absl::GetFlag(FLAGS_tls_key).empty();
  if (certificate != key) UsageError("--tls_certificate and --tls_key go together");
  return certificate;
}

void SetTls(rpc::ServerHost::Options& server) {
  auto credentials =
      rpc::TlsFromFiles(absl::GetFlag(FLAGS_tls_certificate), absl::GetFlag(FLAGS_tls_key));
  if (!credentials.ok()) CouldNotStart("tls_certificate, --tls_key", credentials.status());
  server.credentials = *std::move(credentials);
}

// Flags of libraries say nothing about this server.
bool IsOurs(absl::string_view file) {
  return !absl::StrContains(file, "absl/flags/") && !absl::StartsWith(file, "external/");
}

[[noreturn]] void PrintConfigAndExit(const ServerConfig& config,
                                     const std::optional<PlatformGrace>& platform) {
  SetDerivedFlags(config);
  std::string text = absl::StrCat(
      "# the shutdown: ", config.budget.ToString(), "\n# the watchdog ends it after ",
      absl::FormatDuration(absl::FromChrono(config.budget.watchdog())),
      "\n# the platform kills after ",
      platform ? absl::StrCat(absl::FormatDuration(platform->duration), " (", platform->source, ")")
               : "a time that nothing says",
      "\n");
  std::map<std::string, std::string> values;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (IsOurs(flag->Filename())) values[std::string(name)] = flag->CurrentValue();
  }
  values.erase("print_config");
  // Unset, and no value says so.
  if (!absl::GetFlag(FLAGS_platform_grace)) values.erase("platform_grace");
  for (const auto& [name, value] : values) absl::StrAppend(&text, "--", name, "=", value, "\n");
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (!written) UsageError("cannot print the configuration");
  std::exit(static_cast<int>(lifecycle::ExitCode::kClean));
}

}  // namespace

ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv) {
  // Under `bazel run`, a path means what it means in the shell that ran it.
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(directory) != 0) UsageError(absl::StrCat("cannot go to ", directory));
  }
  absl::SetProgramUsageMessage(usage);
  // Without this, --help knows the flags of main.cc only.
  absl::FlagsUsageConfig help;
  help.contains_help_flags = IsOurs;
  absl::SetFlagsUsageConfig(help);
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  if (words.size() > 1) {
    UsageError(absl::StrCat("\"", words[1], "\" is no flag; --help lists them"));
  }
  ServerConfig config;
  config.budget = BudgetFromFlags();
  config.server.address = absl::GetFlag(FLAGS_address);
  config.server.port_file = absl::GetFlag(FLAGS_port_file);
  config.shutdown_report = absl::GetFlag(FLAGS_shutdown_report);
  const bool tls = TlsIsWanted();
  config.server.limits = LimitsFromFlags();
  config.admin.address = absl::GetFlag(FLAGS_admin_address);
  // Operators get in when everybody else does not.
  config.admin.limits.reserved_descriptors = config.server.limits.reserved_descriptors / 4;
  config.admin.limits.connections = 0;
  config.admin.port_file = absl::GetFlag(FLAGS_admin_port_file);
  const std::optional<PlatformGrace> platform = PlatformFromFlags(config.budget);
  if (absl::GetFlag(FLAGS_print_config)) PrintConfigAndExit(config, platform);
  CheckReportFile(config.shutdown_report);
  if (tls) SetTls(config.server);
  return config;
}

void UsageError(const std::string& what) {
  lifecycle::WriteLastWords({"usage: ", what});
  std::exit(static_cast<int>(lifecycle::ExitCode::kUsage));
}

}  // namespace config
