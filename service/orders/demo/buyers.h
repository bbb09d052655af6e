#ifndef SERVICE_ORDERS_DEMO_BUYERS_H_
#define SERVICE_ORDERS_DEMO_BUYERS_H_

#include <atomic>
#include <chrono>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/orders/orders_client.h"
#include "orders/v1/orders.pb.h"

namespace demo {

// Places one order after another, from several threads, through the client library
// alone: nothing here knows about shutdowns or restarts.
//
// Threads: Stop() and the destructor on one; the rest on any.
class Buyers {
 public:
  // `skus`: what can be bought. `pause`: between an answer and the next order.
  Buyers(client::OrdersClient& client, int count, std::vector<std::string> skus,
         std::chrono::milliseconds pause);
  // Calls Stop().
  ~Buyers();
  Buyers(const Buyers&) = delete;
  Buyers& operator=(const Buyers&) = delete;

  // Places no more orders; waits for the answers to those in flight.
  void Stop();

  // What one buyer has been answered; a call that failed has no answer.
  struct Answers {
    int count = 0;
    std::string last_order_id;
  };
  // Of each buyer.
  std::vector<Answers> answers() const;
  // Of all of them.
  int answered() const;
  // Orders in flight.
  int waiting() const { return waiting_; }
  // How long the slowest answer took.
  std::chrono::milliseconds slowest() const;

  // The orders that were acknowledged, and why calls failed. Requires: Stop() has returned.
  const std::vector<orders::v1::Order>& acknowledged() const { return acknowledged_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  void Buy(int number, std::stop_token stop);

  client::OrdersClient& client_;
  const std::vector<std::string> skus_;
  const std::chrono::milliseconds pause_;
  std::atomic<int> waiting_{0};
  mutable std::mutex mutex_;
  std::vector<Answers> answers_;                 // Guarded by mutex_.
  std::chrono::milliseconds slowest_{0};         // Guarded by mutex_.
  std::vector<orders::v1::Order> acknowledged_;  // Guarded by mutex_.
  std::vector<std::string> failures_;            // Guarded by mutex_.
  std::vector<std::jthread> threads_;            // Last: they use the others.
};

}  // namespace demo

#endif  // SERVICE_ORDERS_DEMO_BUYERS_H_
