#ifndef SERVICE_ORDERS_DEMO_WATCHER_H_
#define SERVICE_ORDERS_DEMO_WATCHER_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "client/orders/orders_client.h"
#include "service/orders/demo/verdict.h"

namespace demo {

// Watches all orders from the first event on, through the client library, which resumes
// wherever a stream ended.
//
// Threads: the destructor on one; the rest on any.
class Watcher {
 public:
  // See client::Connection::Create().
  static absl::StatusOr<std::unique_ptr<Watcher>> Create(const std::string& target);
  // Ends the watch.
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // How many events it has seen.
  std::size_t seen() const { return seen_; }
  // Whether it has seen an event of that order.
  bool HasSeen(const std::string& order_id) const;

  // What it has seen so far, in order.
  std::vector<Told> events() const;

 private:
  Watcher() = default;

  std::atomic<std::size_t> seen_{0};
  mutable std::mutex mutex_;
  std::vector<Told> events_;  // Guarded by mutex_.
  std::unique_ptr<client::OrdersClient> client_;
  std::jthread thread_;  // Last: it uses the others.
};

}  // namespace demo

#endif  // SERVICE_ORDERS_DEMO_WATCHER_H_
