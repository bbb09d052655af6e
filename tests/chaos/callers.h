#ifndef TESTS_CHAOS_CALLERS_H_
#define TESTS_CHAOS_CALLERS_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/orders/orders_client.h"
#include "orders/v1/orders.pb.h"
#include "tests/chaos/faults.h"
#include "tests/rolling/evidence.h"

namespace chaos {

// What callers asked for and were told.
struct Journal {
  std::vector<rolling::Acknowledged> acknowledged;
  // Orders that somebody has asked to cancel.
  std::set<std::string> cancelled;
  // By caller: every event, or every change of the orders that it follows.
  std::map<std::string, std::vector<rolling::Event>> watched;
  std::map<std::string, std::vector<rolling::Event>> tracked;
  // The orders that every tracker follows.
  std::set<std::string> followed;
  // Failures after all of the client library's retries, by status code; each call was repeated.
  std::map<std::string, int> failures;
  // That were answered, streams apart.
  int calls = 0;
};

// Places, imports, cancels, reads, watches and tracks orders, each on threads of its own, through
// the client library alone. What fails for a reason that may pass is asked for again, as the contract
// allows, until it is answered; anything else is a violation.
class Callers {
 public:
  Callers(const std::string& target, unsigned seed, Tally& tally);
  ~Callers();

  // Asks for nothing new; returns when all that was asked for is answered.
  void StopAsking();
  // Whether every watcher has seen so many events, and every tracker how each of its orders ended.
  bool HaveSeen(std::size_t events, const std::map<std::string, orders::v1::OrderState>& states);
  // Ends the watchers and trackers, too.
  Journal Stop();

 private:
  using Client = std::unique_ptr<client::OrdersClient>;

  Client NewClient(const std::string& target);
  void Place(client::OrdersClient& client, const std::string& name, unsigned seed,
             std::stop_token stop);
  void Import(client::OrdersClient& client, unsigned seed, std::stop_token stop);
  void Cancel(client::OrdersClient& client, unsigned seed, std::stop_token stop);
  void Read(client::OrdersClient& client, unsigned seed, std::stop_token stop);
  void Watch(client::OrdersClient& client, const std::string& name, std::stop_token stop);
  void Track(client::OrderTracker& tracker, const std::string& name, std::stop_token stop);

  // Makes a call until it is answered. If it is not in the end, that is told.
  absl::StatusOr<orders::v1::Order> Ask(
      const std::string& name, std::stop_token stop,
      const std::function<absl::StatusOr<orders::v1::Order>()>& call);
  // Whether the same call may be repeated; counts the failure.
  bool MayRepeat(const std::string& what, const absl::Status& status);
  // An order that was acknowledged lately; empty: none yet.
  std::string Some(Random& random);

  Tally& tally_;
  std::mutex mutex_;
  Journal journal_;                 // Guarded by mutex_.
  std::vector<std::string> known_;  // Guarded by mutex_. Order ids, in the order of their answers.
  std::vector<Client> clients_;
  std::unique_ptr<client::OrderTracker> tracker_;
  std::vector<std::jthread> askers_;
  std::vector<std::jthread> followers_;
};

}  // namespace chaos

#endif  // TESTS_CHAOS_CALLERS_H_
