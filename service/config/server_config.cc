#include "service/config/server_config.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "service/admin/build_info.h"
#include "service/config/access_log_line.h"
#include "service/config/file_names.h"
#include "service/config/flag_files.h"
#include "service/config/limit_flags.h"
#include "service/config/plaintext_address.h"
#include "service/config/platform_grace.h"
#include "service/config/shown_value.h"
#include "service/config/value_end.h"
#include "service/files/write_file.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/rpc/calls/authorization.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/tls/tls.h"

ABSL_FLAG(std::string, address, "127.0.0.1:50051",
          "Where to listen: HOST:PORT; port 0 picks a free one; 0.0.0.0 means every interface; "
          "unix:PATH is a socket file; fd:NAME is a socket that systemd passes. Several are "
          "separated by commas.");
ABSL_FLAG(std::string, takeover, "",
          "Socket file through which this process replaces the one that serves there, on the same "
          "address and without refusing a caller, and through which the next one replaces it; "
          "empty: no hot restart.");
ABSL_FLAG(std::string, tls_certificate, "",
          "Serve with TLS: PEM file with the server's certificate and the intermediate "
          "certificates; empty: plaintext. The TLS files are picked up within two seconds or "
          "so after they have changed, without a restart.");
ABSL_FLAG(std::string, tls_key, "", "PEM file with the certificate's private key.");
ABSL_FLAG(std::string, tls_client_ca, "",
          "Mutual TLS: PEM file with the CAs that sign callers' certificates; empty: callers show "
          "none.");
ABSL_FLAG(bool, tls_require_client_certificate, true,
          "With --tls_client_ca: refuse connections without a certificate. Off: callers may also "
          "come without one, for example with a bearer token; a wrong one is always refused.");
ABSL_FLAG(
    std::string, authorization_policy, "",
    "File that says who may call which method (service/rpc/calls/authorization.h); in force a few "
    "seconds after it has changed; empty: everybody may call everything.");
ABSL_FLAG(std::string, port_file, "",
          "File that receives the bound HOST:PORT once the server serves.");
ABSL_FLAG(
    bool, access_log, false,
    "Log each call when it has ended, with its place in the caller's trace (W3C Trace Context), "
    "and mark every line of a call with its trace. Costs about an eighth of a unary call's "
    "instructions.");
ABSL_FLAG(int, access_log_per_second, 1000,
          "With --access_log: calls that are logged in a second; of further ones, a line a minute "
          "says how many.");
ABSL_FLAG(std::string, log_format, "text",
          "text: a line for people; json: a JSON object in each line, for machines.");
ABSL_FLAG(
    std::string, log_level, "info",
    "The least level that is logged: debug, info, warning or error. The shutdown report always "
    "is.");
ABSL_FLAG(std::string, shutdown_report, "",
          "File that receives the shutdown report, as JSON, at the end (docs/shutdown_report.md).");
ABSL_FLAG(
    std::string, admin_address, "",
    "Where to listen for operators (`client drain`): HOST:PORT; empty: nowhere. Whoever can reach "
    "it can take this replica out of rotation: other addresses than loopback need --admin_tls or "
    "--admin_allow_plaintext.");
ABSL_FLAG(bool, admin_tls, false,
          "Serve operators with TLS too, with the same files as callers (--tls_certificate, "
          "--tls_key, --tls_client_ca).");
ABSL_FLAG(bool, admin_allow_plaintext, false,
          "Let operators, probes and Prometheus connect in plaintext from other machines, to "
          "--admin_address and --admin_http_address: for a network that only they can reach.");
ABSL_FLAG(std::string, admin_port_file, "",
          "File that receives the HOST:PORT bound for operators.");
ABSL_FLAG(
    std::string, admin_http_address, "127.0.0.1:0",
    "Where to serve HTTP for operators, probes and Prometheus: HOST:PORT; port 0 picks a free "
    "one, which is printed; empty: nowhere. It changes nothing in the process, but shows its "
    "settings and its load: other addresses than loopback need --admin_allow_plaintext.");
ABSL_FLAG(std::string, admin_http_port_file, "",
          "File that receives the HOST:PORT bound for HTTP.");
ABSL_FLAG(absl::Duration, termination_grace, absl::Seconds(30),
          "Time from SIGTERM to the end of the process, everything included: what the platform "
          "allows before it sends SIGKILL. Every phase of the shutdown has a share of it.");
ABSL_FLAG(std::optional<absl::Duration>, platform_grace, std::nullopt,
          "The time that the platform actually allows: the server warns if it is shorter than "
          "termination_grace. Unset: taken from the environment (docs/operations.md).");
ABSL_FLAG(
    bool, systemd_extend_timeout, false,
    "Ask systemd for the time that each phase of a shutdown may take, whatever TimeoutStopSec= "
    "says. It may then stop later than the unit promises.");
ABSL_FLAG(bool, print_config, false,
          "Print every setting and the resulting budgets, as a file for --flagfile, and exit.");

// Shares that are unset divide what the others leave: ShutdownBudget::Split().
ABSL_FLAG(
    std::optional<absl::Duration>, shutdown_lame_duck, std::nullopt,
    "How long health says NOT_SERVING while calls are still served, so that load balancers can "
    "notice. Always spent in full, on SIGTERM and in a manual drain. Unset: 10/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_drain_connections, std::nullopt,
          "Guaranteed share of the grace, plus what earlier phases leave over: until callers' "
          "connections are gone or silent. Unset: 24/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_drain_calls, std::nullopt,
          "Guaranteed share of the grace, plus what earlier phases leave over: until calls in "
          "flight are answered. Unset: 10/60 of the grace.");
ABSL_FLAG(
    std::optional<absl::Duration>, shutdown_cancel_calls, std::nullopt,
    "Guaranteed share of the grace, plus what earlier phases leave over: until cancelled calls "
    "have ended. Unset: 4/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_stop_workers, std::nullopt,
          "Guaranteed share of the grace, plus what earlier phases leave over: until background "
          "workers have finished their current item. Unset: 3/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_save_state, std::nullopt,
          "Guaranteed share of the grace, plus what earlier phases leave over: until state is "
          "saved. Unset: 3/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_close_resources, std::nullopt,
          "Guaranteed share of the grace, plus what earlier phases leave over: until every "
          "resource is closed. Unset: 4/60 of the grace.");
ABSL_FLAG(std::optional<absl::Duration>, shutdown_reserve, std::nullopt,
          "Share of the grace that is held back for the report and the exit; the watchdog ends the "
          "process when half of it is left. Unset: 2/60 of the grace.");

namespace config {
namespace {

using lifecycle::Clock;
using lifecycle::ShutdownBudget;

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

// Ends the process unless a check has passed.
void Must(const absl::Status& holds) {
  if (!holds.ok()) UsageError(holds.message());
}

std::optional<PlatformGrace> PlatformFromFlags() {
  const auto platform = PlatformGraceFrom(absl::GetFlag(FLAGS_platform_grace),
                                          [](const char* name) { return std::getenv(name); });
  if (!platform.ok()) UsageError(std::string(platform.status().message()));
  return *platform;
}

// Sets the flags whose values follow from others, so that they are printed.
void SetDerivedFlags(const ServerConfig& config) {
  for (const Share& each : kShares) {
    absl::SetFlag(each.flag, absl::FromChrono(config.budget.*each.share));
  }
}

[[noreturn]] void CouldNotStart(const std::string& flag, const absl::Status& why) {
  lifecycle::WriteLastWords({"could not start: --", flag, ": ", std::string(why.message())});
  std::exit(static_cast<int>(lifecycle::ExitCode::kCouldNotStart));
}

// Checked at the start, while somebody is looking; the report is written at the very end.
void CheckReportFile(const std::string& path) {
  if (path.empty()) return;
  if (const absl::Status writable = files::CheckWritable(path); !writable.ok()) {
    CouldNotStart("shutdown_report", writable);
  }
}

// What was passed at the start, if each socket is some address: a caller of another one would wait
// for ever.
std::shared_ptr<rpc::InheritedSockets> InheritedBy(const std::vector<std::string>& addresses) {
  auto inherited = rpc::InheritedSockets::FromEnvironment(
      [](const char* variable) { return std::getenv(variable); });
  if (!inherited.ok()) UsageError(std::string(inherited.status().message()));
  // Children have nothing to do with it.
  for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(each);
  std::vector<std::string> named;
  for (const std::string& list : addresses) {
    for (const auto each : absl::StrSplit(list, ',')) named.emplace_back(each);
  }
  if (const std::string unused = (*inherited)->FirstNotIn(named); !unused.empty()) {
    UsageError(absl::StrCat("a socket was passed as ", unused, ", where nobody would listen: ",
                            "--address=", unused, " serves there"));
  }
  return *std::move(inherited);
}

bool TlsIsWanted() {
  const bool certificate = !absl::GetFlag(FLAGS_tls_certificate).empty();
  const bool key = !absl::GetFlag(FLAGS_tls_key).empty();
  if (certificate != key) UsageError("--tls_certificate and --tls_key must be set together");
  if (!certificate && !absl::GetFlag(FLAGS_tls_client_ca).empty()) {
    UsageError("--tls_client_ca needs --tls_certificate and --tls_key");
  }
  if (!certificate && absl::GetFlag(FLAGS_admin_tls)) {
    UsageError("--admin_tls needs --tls_certificate and --tls_key");
  }
  return certificate;
}

void SetTls(ServerConfig& config) {
  const std::string ca = absl::GetFlag(FLAGS_tls_client_ca);
  auto files =
      rpc::TlsFiles::Open({absl::GetFlag(FLAGS_tls_certificate), absl::GetFlag(FLAGS_tls_key), ca});
  if (!files.ok()) {
    const std::string flags = "tls_certificate, --tls_key";
    CouldNotStart(ca.empty() ? flags : flags + ", --tls_client_ca", files.status());
  }
  config.tls = *std::move(files);
  config.server.credentials =
      rpc::ServerTls(config.tls, absl::GetFlag(FLAGS_tls_require_client_certificate)
                                     ? rpc::CallerCertificate::kRequired
                                     : rpc::CallerCertificate::kOptional);
  if (absl::GetFlag(FLAGS_admin_tls)) config.admin.grpc.credentials = config.server.credentials;
}

void CheckAdminAddresses() {
  if (absl::GetFlag(FLAGS_admin_allow_plaintext)) return;
  if (!absl::GetFlag(FLAGS_admin_tls)) {
    Must(CheckPlaintextAddresses("admin_address", absl::GetFlag(FLAGS_admin_address),
                                 "take this replica out of rotation", ", --admin_tls"));
  }
  Must(CheckPlaintextAddresses("admin_http_address", absl::GetFlag(FLAGS_admin_http_address),
                               "see its settings and its load", ""));
}

// Leaves out the flags of libraries: of Abseil, and of newer gRPC, whose package was compiled with
// paths that begin with "./".
bool IsOurs(absl::string_view file) {
  return !absl::StrContains(file, "absl/flags/") && !absl::StartsWith(file, "external/") &&
         !absl::StartsWith(file, ".") && !absl::StartsWith(file, "/");
}

void CheckFiles() {
  FileNames names;
  Must(names.WriteSockets("address", absl::GetFlag(FLAGS_address)));
  Must(names.WriteSockets("admin_address", absl::GetFlag(FLAGS_admin_address)));
  Must(names.WriteSockets("admin_http_address", absl::GetFlag(FLAGS_admin_http_address)));
  Must(names.Write("takeover", absl::GetFlag(FLAGS_takeover)));
  Must(names.Write("port_file", absl::GetFlag(FLAGS_port_file)));
  Must(names.Write("admin_port_file", absl::GetFlag(FLAGS_admin_port_file)));
  Must(names.Write("admin_http_port_file", absl::GetFlag(FLAGS_admin_http_port_file)));
  Must(names.Write("shutdown_report", absl::GetFlag(FLAGS_shutdown_report)));
  for (const auto each :
       absl::StrSplit(absl::FindCommandLineFlag("flagfile")->CurrentValue(), ',')) {
    Must(names.Read("flagfile", each));
  }
  // Any text may be a path, that of a program's own flag (--database), too; these two are words.
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!IsOurs(flag->Filename()) || !flag->IsOfType<std::string>()) continue;
    if (name != "log_format" && name != "log_level") Must(names.Read(name, flag->CurrentValue()));
  }
}

void SetAuthorization(ServerConfig& config) {
  const std::string file = absl::GetFlag(FLAGS_authorization_policy);
  if (file.empty()) return;
  auto policy = rpc::Authorization::FromFile(file);
  if (!policy.ok()) CouldNotStart("authorization_policy", policy.status());
  config.server.authorization = *std::move(policy);
}

observability::LogOptions LogFromFlags() {
  const std::string format = absl::GetFlag(FLAGS_log_format);
  if (format != "text" && format != "json") {
    UsageError(absl::StrCat("--log_format must be text or json, is ", format));
  }
  const std::string level = absl::GetFlag(FLAGS_log_level);
  const std::map<std::string, char> levels = {
      {"debug", 'D'}, {"info", 'I'}, {"warning", 'W'}, {"error", 'E'}};
  if (!levels.contains(level)) {
    UsageError(absl::StrCat("--log_level must be debug, info, warning or error, is ", level));
  }
  return {.json = format == "json", .level = levels.at(level)};
}

void SetAccessLog(ServerConfig& config) {
  const int per_second = absl::GetFlag(FLAGS_access_log_per_second);
  if (per_second < 1) {
    UsageError(absl::StrCat("--access_log_per_second must be at least 1, is ", per_second));
  }
  if (!absl::GetFlag(FLAGS_access_log)) return;
  config.server.access_log = std::make_shared<rpc::AccessLog>(per_second);
  config.log.log.tags = TraceTags;
}

void CheckValues() {
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!IsOurs(flag->Filename())) continue;
    const std::string value = flag->CurrentValue();
    if (value != flag->DefaultValue()) Must(CheckEnd(name, value));
  }
}

std::map<std::string, std::string> FlagValues(const ServerConfig& config) {
  SetDerivedFlags(config);
  std::map<std::string, std::string> values;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (IsOurs(flag->Filename())) values[std::string(name)] = ShownValue(flag->CurrentValue());
  }
  values.erase("print_config");
  // No value of this flag means "unset".
  if (!absl::GetFlag(FLAGS_platform_grace)) values.erase("platform_grace");
  return values;
}

[[noreturn]] void PrintConfigAndExit(const ServerConfig& config,
                                     const std::optional<PlatformGrace>& platform) {
  if (!config.platform_warning.empty()) {
    lifecycle::WriteLastWords({"warning: ", config.platform_warning});
  }
  std::string text = absl::StrCat(
      "# shutdown budget: ", config.budget.ToString(), "\n# the watchdog ends the process after ",
      absl::FormatDuration(absl::FromChrono(config.budget.watchdog())),
      "\n# the platform sends SIGKILL after ",
      platform ? absl::StrCat(absl::FormatDuration(platform->duration), " (", platform->source, ")")
               : "an unknown time",
      "\n");
  for (const auto& [name, value] : FlagValues(config))
    absl::StrAppend(&text, "--", name, "=", value, "\n");
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (!written) UsageError("cannot print the configuration");
  std::exit(static_cast<int>(lifecycle::ExitCode::kClean));
}

}  // namespace

ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv) {
  // Under `bazel run`, relative paths are relative to the directory of the shell that called it, or
  // called bazelw, which may call Bazel in another one.
  const char* directory = std::getenv("BAZELW_CALLED_FROM");
  if (directory == nullptr) directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) {
    UsageError(absl::StrCat("cannot change to directory ", directory));
  }
  // Of a flag's value that it cannot read, Abseil does not say how it should be.
  absl::SetProgramUsageMessage(usage + " Durations have units, such as 30s or 1m30s.");
  // Without this, --help lists only the flags of main.cc.
  absl::FlagsUsageConfig help;
  help.contains_help_flags = IsOurs;
  help.version_string = [] { return admin::BuildInfo() + "\n"; };
  absl::SetFlagsUsageConfig(help);
  Must(CheckFlagFiles({argv + 1, argv + argc}));
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  CheckValues();
  if (words.size() > 1) {
    UsageError(
        absl::StrCat("\"", ShownValue(words[1]), "\" is not a flag; --help lists the flags"));
  }
  ServerConfig config;
  config.budget = BudgetFromFlags();
  config.server.address = absl::GetFlag(FLAGS_address);
  config.server.port_file = absl::GetFlag(FLAGS_port_file);
  config.log.report_file = absl::GetFlag(FLAGS_shutdown_report);
  config.log.systemd.extend_timeout = absl::GetFlag(FLAGS_systemd_extend_timeout);
  config.log.log = LogFromFlags();
  SetAccessLog(config);
  const bool tls = TlsIsWanted();
  CheckAdminAddresses();
  CheckFiles();
  const auto limits = LimitsFromFlags();
  Must(limits.status());
  config.server.limits = *limits;
  config.admin.grpc.address = absl::GetFlag(FLAGS_admin_address);
  // Operators must get in when nobody else does.
  config.admin.grpc.limits.reserved_descriptors = config.server.limits.reserved_descriptors / 4;
  config.admin.grpc.limits.max_connections = 0;
  config.admin.grpc.port_file = absl::GetFlag(FLAGS_admin_port_file);
  config.admin.http.address = absl::GetFlag(FLAGS_admin_http_address);
  config.admin.http.port_file = absl::GetFlag(FLAGS_admin_http_port_file);
  config.server.takeover = absl::GetFlag(FLAGS_takeover);
  const std::optional<PlatformGrace> platform = PlatformFromFlags();
  if (platform) {
    config.platform_warning = PlatformWarning(*platform, absl::FromChrono(config.budget.grace));
  }
  if (absl::GetFlag(FLAGS_print_config)) PrintConfigAndExit(config, platform);
  CheckReportFile(config.log.report_file);
  config.server.inherited = config.admin.grpc.inherited =
      InheritedBy({config.server.address, config.admin.grpc.address});
  if (tls) SetTls(config);
  SetAuthorization(config);
  for (const auto& [name, value] : FlagValues(config)) {
    config.flags.emplace_back(name, value);
  }
  return config;
}

void ServerConfig::LogTo(observability::ProcessLog& log) {
  server.log = admin.grpc.log = log.Warner();
  if (!platform_warning.empty()) log.Warner()(platform_warning);
  if (tls != nullptr) tls->LogTo(log.Warner());
  if (server.access_log == nullptr) return;
  server.access_log->LogTo(
      [&writer = log.writer()](rpc::EndedCall call) {
        writer.Log('I', "call", FieldsOf(std::move(call)));
      },
      log.Warner());
}

void UsageError(absl::string_view what) {
  lifecycle::WriteLastWords({"usage: ", std::string(what)});
  std::exit(static_cast<int>(lifecycle::ExitCode::kUsage));
}

}  // namespace config
