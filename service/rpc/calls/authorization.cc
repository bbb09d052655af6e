#include "service/rpc/calls/authorization.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "service/files/read_file.h"

namespace rpc {
namespace {

constexpr const char* kKinds[] = {"uri:", "dns:", "email:", "ip:", "token:"};

absl::Status Wrong(int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line, ": ", what));
}

bool IsMethod(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  return parts.size() == 3 && parts[0].empty() && !parts[1].empty() && !parts[2].empty() &&
         (parts[2] == "*" || !absl::StrContains(text, "*"));
}

bool IsName(const std::string& text) {
  const std::size_t star = text.find('*');
  if (star != std::string::npos && star + 1 != text.size()) return false;
  // Neither has one: a comment was meant.
  const bool has_no_hash = text.starts_with("dns:") || text.starts_with("ip:");
  if (has_no_hash && absl::StrContains(text, "#")) return false;
  return std::any_of(std::begin(kKinds), std::end(kKinds), [&text](const char* kind) {
    return text.starts_with(kind) && text.size() > std::strlen(kind);
  });
}

std::string ServiceOf(const std::string& method) {
  return method.substr(0, method.rfind('/')) + "/*";
}

bool Matches(const std::string& pattern, const std::string& name) {
  if (!pattern.ends_with('*')) return pattern == name;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

// For the log: what a certificate contains is its owner's choice.
std::string Shown(const std::string& method, const std::string& peer,
                  const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 300;
  const std::string who = names.empty() ? "nobody" : absl::StrJoin(names, " ").substr(0, kMost);
  return absl::StrCat(method, " from ", peer, " as ", absl::CHexEscape(who));
}

}  // namespace

Authorization::Authorization()
    : unauthenticated_("refused a call: its caller has proved no name",
                       [this](const std::string& line) { Write(line); }),
      denied_("refused a call: the policy does not allow it",
              [this](const std::string& line) { Write(line); }) {}

absl::StatusOr<std::shared_ptr<Authorization>> Authorization::Parse(const std::string& policy) {
  absl::StatusOr<Rules> rules = RulesOf(policy);
  if (!rules.ok()) return rules.status();
  std::shared_ptr<Authorization> parsed(new Authorization());
  parsed->rules_ = std::make_shared<const Rules>(*std::move(rules));
  return parsed;
}

absl::StatusOr<std::shared_ptr<Authorization>> Authorization::FromFile(
    const std::string& path, std::chrono::milliseconds interval) {
  const absl::StatusOr<std::string> text = files::ReadFile(path);
  std::shared_ptr<Authorization> policy(new Authorization());
  absl::Status read = policy->TryToRenew(path, text);
  if (!read.ok()) return read;
  const auto renew = [policy = policy.get(), path](const absl::StatusOr<std::string>& changed) {
    policy->Renew(path, changed);
  };
  try {
    policy->file_.emplace([path] { return files::ReadFile(path); }, *text, renew, interval);
  } catch (const std::system_error& error) {
    return absl::UnavailableError(absl::StrCat("no thread to watch ", path, ": ", error.what()));
  }
  return policy;
}

void Authorization::Renew(const std::string& path, const absl::StatusOr<std::string>& text) {
  const absl::Status renewed = TryToRenew(path, text);
  if (renewed.ok()) return Write(absl::StrCat("authorization: the changed ", path, " is in force"));
  Write(absl::StrCat("authorization: ", std::string(renewed.message()),
                     "; the previous policy is in force until it is right"));
}

absl::Status Authorization::TryToRenew(const std::string& path,
                                       const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return text.status();
  absl::StatusOr<Rules> rules = RulesOf(*text);
  absl::Status status = rules.status();
  std::lock_guard lock(mutex_);
  if (status.ok() && has_all_methods_) status = Check(*rules, methods_);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(status.message())));
  }
  rules_ = std::make_shared<const Rules>(*std::move(rules));
  return absl::OkStatus();
}

absl::StatusOr<Authorization::Rules> Authorization::RulesOf(const std::string& policy) {
  Rules rules;
  int number = 0;
  for (const auto line : absl::StrSplit(policy, '\n')) {
    absl::Status added = Add(std::string(line), ++number, rules);
    if (!added.ok()) return added;
  }
  if (!rules.empty()) return rules;
  return absl::InvalidArgumentError("has no rule, so nobody could call anything");
}

absl::Status Authorization::Add(const std::string& line, int number, Rules& rules) {
  std::vector<std::string> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  words.erase(std::find_if(words.begin(), words.end(),
                           [](const std::string& word) { return word.starts_with('#'); }),
              words.end());
  if (words.empty()) return absl::OkStatus();
  const std::string& method = words[0];
  if (!IsMethod(method)) {
    return Wrong(number, absl::StrCat("\"", absl::CHexEscape(method),
                                      "\" is no method: /SERVICE/METHOD or /SERVICE/*"));
  }
  if (words.size() < 2) return Wrong(number, absl::StrCat("who may call ", method, "?"));
  Rule added = {.line = number};
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    if (*word == "everyone" || *word == "authenticated") {
      if (words.size() > 2) return Wrong(number, absl::StrCat("\"", *word, "\" stands alone"));
      added.who = *word == "everyone" ? Who::kEveryone : Who::kAuthenticated;
    } else if (IsName(*word)) {
      added.names.push_back(*word);
    } else {
      return Wrong(number, absl::StrCat("\"", absl::CHexEscape(*word),
                                        "\" is no name: uri:, dns:, email:, ip: or token:NAME, "
                                        "authenticated, everyone"));
    }
  }
  const auto [at, is_new] = rules.emplace(method, std::move(added));
  if (is_new) return absl::OkStatus();
  return Wrong(number, absl::StrCat(method, " has a rule in line ", at->second.line));
}

void Authorization::AddMethods(const std::vector<std::string>& methods) {
  std::lock_guard lock(mutex_);
  methods_.insert(methods.begin(), methods.end());
}

absl::Status Authorization::CheckMethods() {
  std::lock_guard lock(mutex_);
  has_all_methods_ = true;
  return Check(*rules_, methods_);
}

absl::Status Authorization::Check(const Rules& rules, const std::set<std::string>& methods) {
  for (const auto& [pattern, rule] : rules) {
    const bool known =
        std::any_of(methods.begin(), methods.end(), [&wanted = pattern](const std::string& method) {
          return wanted == method || wanted == ServiceOf(method);
        });
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat("the authorization policy, line ", rule.line,
                                                     ": this server has no method ", pattern));
    }
  }
  return absl::OkStatus();
}

std::shared_ptr<const Authorization::Rules> Authorization::rules() const {
  std::lock_guard lock(mutex_);
  return rules_;
}

const Authorization::Rule* Authorization::RuleFor(const std::string& method, const Rules& rules) {
  auto found = rules.find(method);
  if (found == rules.end()) found = rules.find(ServiceOf(method));
  return found == rules.end() ? nullptr : &found->second;
}

bool Authorization::Allows(const Rule& rule, const std::vector<std::string>& names) {
  if (rule.who == Who::kAuthenticated) return !names.empty();
  return std::any_of(names.begin(), names.end(), [&rule](const std::string& name) {
    return std::any_of(rule.names.begin(), rule.names.end(),
                       [&name](const std::string& pattern) { return Matches(pattern, name); });
  });
}

grpc::Status Authorization::Check(const std::string& method,
                                  const grpc::ServerContextBase& context) {
  const std::shared_ptr<const Rules> rules = this->rules();
  const Rule* const rule = RuleFor(method, *rules);
  if (rule != nullptr && rule->who == Who::kEveryone) return grpc::Status::OK;
  const std::vector<std::string> names = PeerIdentity(context, check_token_);
  if (rule != nullptr && Allows(*rule, names)) return grpc::Status::OK;
  (names.empty() ? unauthenticated_ : denied_).Count(Shown(method, context.peer(), names));
  if (names.empty()) return {grpc::StatusCode::UNAUTHENTICATED, "authentication is required"};
  return {grpc::StatusCode::PERMISSION_DENIED, "not allowed"};
}

void Authorization::LogTo(LimitLog::Write write) {
  std::lock_guard lock(mutex_);
  write_ = std::move(write);
}

void Authorization::Write(const std::string& line) const {
  std::lock_guard lock(mutex_);
  if (write_) write_(line);
}

}  // namespace rpc
