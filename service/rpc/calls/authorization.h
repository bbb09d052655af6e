#ifndef SERVICE_RPC_CALLS_AUTHORIZATION_H_
#define SERVICE_RPC_CALLS_AUTHORIZATION_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"
#include "service/files/file_watch.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/calls/peer_identity.h"

namespace rpc {

// Decides who may call which method, by a policy: a text with one rule a line.
//
//   # method                            who, separated by spaces
//   /orders.v1.OrdersService/*          uri:spiffe://shop/checkout token:importer
//   /orders.v1.OrdersService/GetOrder   uri:spiffe://shop/* dns:support.shop
//   /orders.v1.OrdersService/ListOrders authenticated
//   /catalog.v1.Catalog/*               everyone
//
// A word that begins with `#` begins a comment; within a word it is a part of it, as in
// uri:https://alice.example/profile#me.
//
// Names are those of PeerIdentity(); a `*` at the end matches any ending. `authenticated` is every
// caller with a verified name. A rule for a method replaces the rule for its service. Nobody may
// call a method that has no rule.
//
// It applies to the services that HandlerGuard guards: not to health, reflection and channelz, which
// platforms call without a name.
//
// Threads: all methods but SetTokenCheck() may be called from any thread.
class Authorization {
 public:
  // INVALID_ARGUMENT with the line that is wrong.
  static absl::StatusOr<std::shared_ptr<Authorization>> Parse(const std::string& policy);

  // The same from a file, which the error names. When the file changes, its rules apply a moment
  // later, to calls that begin then. An invalid file is logged and changes nothing.
  static absl::StatusOr<std::shared_ptr<Authorization>> FromFile(
      const std::string& path,
      std::chrono::milliseconds interval = files::FileWatch<std::string>::kInterval);

  // Accepts bearer tokens. Requires: no server uses it yet.
  void SetTokenCheck(TokenCheck check) { check_token_ = std::move(check); }

  // A server whose calls it decides has these methods ("/orders.v1.OrdersService/GetOrder").
  void AddMethods(const std::vector<std::string>& methods);
  // Called when all servers that share it have added theirs. INVALID_ARGUMENT when a rule matches none
  // of them. A file that changes later must pass this check, too.
  absl::Status CheckMethods();

  // OK; UNAUTHENTICATED when the caller has no verified name; else PERMISSION_DENIED. Neither says
  // who is allowed.
  grpc::Status Check(const std::string& method, const grpc::ServerContextBase& context);

  // Receives lines about refused calls and a changed file; null: nothing is logged.
  void LogTo(LimitLog::Write write);
  // The logs of refused calls.
  void ForEachLog(const std::function<void(LimitLog&)>& use) {
    use(unauthenticated_);
    use(denied_);
  }

 private:
  enum class Who { kEveryone, kAuthenticated, kNamed };
  struct Rule {
    Who who = Who::kNamed;
    std::vector<std::string> names = {};
    int line = 0;
  };

  using Rules = std::map<std::string, Rule>;  // By method, or "/SERVICE/*".

  Authorization();
  static absl::StatusOr<Rules> RulesOf(const std::string& policy);
  static absl::Status Add(const std::string& line, int number, Rules& rules);
  static absl::Status Check(const Rules& rules, const std::set<std::string>& methods);
  // The file has changed.
  void Renew(const std::string& path, const absl::StatusOr<std::string>& text);
  absl::Status TryToRenew(const std::string& path, const absl::StatusOr<std::string>& text);
  std::shared_ptr<const Rules> rules() const;
  // Null: there is none.
  static const Rule* RuleFor(const std::string& method, const Rules& rules);
  static bool Allows(const Rule& rule, const std::vector<std::string>& names);
  void Write(const std::string& line) const;

  TokenCheck check_token_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Rules> rules_;  // Guarded by mutex_.
  std::set<std::string> methods_;       // Guarded by mutex_.
  bool has_all_methods_ = false;        // Guarded by mutex_.
  LimitLog::Write write_;               // Guarded by mutex_.
  LimitLog unauthenticated_;
  LimitLog denied_;
  std::optional<files::FileWatch<std::string>> file_;  // Ends before the rest does.
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_AUTHORIZATION_H_
