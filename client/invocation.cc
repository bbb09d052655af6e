#include "client/invocation.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error_details.h"
#include "client/plain_text.h"
#include "client/retry.h"
#include "client/tls.h"
#include "google/protobuf/util/json_util.h"

namespace client {
namespace {

// That a proxy may be why no server was reached; empty: the environment names none.
std::string ProxyAdvice(const absl::Status& status) {
  if (!absl::IsUnavailable(status) || !ErrorReason(status).empty()) return "";
  // The variables that gRPC looks at, in its order.
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    return absl::StrCat(" ", name, " is set: gRPC connects through that proxy, unless no_proxy ",
                        "names the server.");
  }
  return "";
}

// What a person can do about it; empty when the message says all there is.
std::string AdviceFor(const absl::Status& status, const Advice& advice) {
  const std::string reason = ErrorReason(status);
  if (const auto known = advice.find(reason); known != advice.end()) return known->second;
  if (!reason.empty() && IsRetryable(status)) return "Try again later.";
  if (absl::IsUnavailable(status)) {
    return "Does the server run, and are its address and the --tls flags right?" +
           ProxyAdvice(status);
  }
  if (absl::IsDeadlineExceeded(status)) return "A larger --timeout may help.";
  // gRPC's answer, without words, to a call of a service that is not at this address.
  if (absl::IsUnimplemented(status) && reason.empty()) {
    return "Is the address right? A server listens for operators (--admin) at its --admin_address, "
           "and for callers at its --address.";
  }
  return "";
}

// Protobuf renamed the option.
template <typename Options>
void PrintAllFields(Options& options) {
  if constexpr (requires { options.always_print_fields_with_no_presence; }) {
    options.always_print_fields_with_no_presence = true;
  } else {
    options.always_print_primitive_fields = true;
  }
}

}  // namespace

std::vector<Flag> TlsFlags() {
  return {{"tls", "", "use TLS, with the CAs that this machine trusts (plaintext)"},
          {"tls-ca", "FILE", "use TLS, with the CAs in this PEM file"},
          {"tls-certificate", "FILE", "PEM file with the certificate that the server is shown"},
          {"tls-key", "FILE", "PEM file with the certificate's private key"},
          {"tls-server-name", "NAME",
           "use TLS, with this name in the server's certificate (the address's host)"}};
}

ExitCode ExitCodeFor(const absl::Status& status) {
  return Retry::MayCure(status) || absl::IsDeadlineExceeded(status) ? kTryAgain : kRefused;
}

absl::StatusOr<ClientOptions> Invocation::Options(
    std::optional<std::chrono::milliseconds> patience) const {
  ClientOptions options;
  options.clock = terminal.clock;
  options.retry.give_up_after = patience;
  if (line.Has("timeout")) {
    const auto timeout = ParseTime(line.Get("timeout"));
    if (!timeout.ok()) return timeout.status();
    options.timeout = *timeout;
    options.retry.give_up_after = *timeout;
  }
  const std::vector<Flag> tls_flags = TlsFlags();
  if (std::any_of(tls_flags.begin(), tls_flags.end(),
                  [this](const Flag& flag) { return line.Has(flag.name); })) {
    auto tls = TlsFiles::Open({.ca = line.Get("tls-ca"),
                               .certificate = line.Get("tls-certificate"),
                               .key = line.Get("tls-key"),
                               .on_fault = [this](const std::string& fault) {
                                 Interject("TLS: " + fault +
                                           "; the previous files are used until it is right");
                               }});
    if (!tls.ok()) return tls.status();
    options.tls = *std::move(tls);
  }
  options.server_name = line.Get("tls-server-name");
  // Says once what is wrong. That the server drains is not wrong.
  options.retry.on_retry = [this, said = std::string()](const Interruption& now) mutable {
    const std::string what = Describe(now.why);
    if (now.why.ok() || ErrorReason(now.why) == "SERVER_DRAINING") return;
    if (now.failures > 1 && what == said) return;
    said = what;
    Interject(absl::StrCat(what, ".", ProxyAdvice(now.why), " Trying again."));
  };
  return options;
}

void Invocation::Interject(const std::string& what) const {
  if (terminal.err_is_terminal) terminal.err << kEraseLine;
  Say(what);
}

void Invocation::Say(const std::string& what) const {
  terminal.err << OneLine("client " + command + ": " + what) << std::endl;
}

int Invocation::Complain(ExitCode code, const std::string& what) const {
  Say(what);
  return code;
}

int Invocation::UsageError(const std::string& what) const {
  return Complain(kUsage, what + " (see: client help " + command + ")");
}

int Invocation::UsageError(const absl::Status& status) const {
  return UsageError(std::string(status.message()));
}

int Invocation::Failed(const absl::Status& status, const std::string& and_then) const {
  const ExitCode code = ExitCodeFor(status);
  std::string what = Describe(status);
  for (const std::string& more : {AdviceFor(status, advice), code == kTryAgain ? and_then : ""}) {
    const bool sentence_ended = what.ends_with('.') || what.ends_with('?');
    if (!more.empty()) absl::StrAppend(&what, sentence_ended ? " " : ". ", more);
  }
  return Complain(code, what);
}

bool Invocation::PrintJson(const google::protobuf::Message& message) const {
  google::protobuf::util::JsonPrintOptions options;
  PrintAllFields(options);
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    // A time beyond the year 9999, for one.
    Say("the server's answer cannot be written as JSON; it is written as text");
    return PrintLine(message.ShortDebugString());
  }
  return output.Print(PlainJson(json) + "\n");
}

std::string Invocation::SameServer() const {
  std::vector<std::string> names = {"address", "admin"};
  for (const Flag& flag : TlsFlags()) names.push_back(flag.name);
  std::string flags;
  for (const std::string& name : names) {
    if (!line.Has(name)) continue;
    const std::string value = line.Get(name);
    absl::StrAppend(&flags, " --", name, value.empty() ? "" : "=" + ShellWord(value));
  }
  return flags;
}

bool Invocation::PrintLine(const std::string& text) const {
  return output.Print(OneLine(text) + "\n");
}

int Invocation::OutputLost(const std::string& and_then) const {
  return Complain(kOutputLost, absl::StrCat("cannot write its output: ", output.why(),
                                            and_then.empty() ? "" : ". ", and_then));
}

}  // namespace client
