#ifndef TESTS_ROLLING_EVIDENCE_H_
#define TESTS_ROLLING_EVIDENCE_H_

#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "orders/v1/orders.pb.h"

namespace rolling {

// A list that many write to and one reads.
//
// Threads: all methods may be called from any thread.
template <typename Entry>
class Journal {
 public:
  void Add(Entry entry) {
    std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
  }

  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return entries_.size();
  }

  std::vector<Entry> All() const { return From(0); }

  // The entries after the first `begin`.
  std::vector<Entry> From(std::size_t begin) const {
    std::lock_guard lock(mutex_);
    return {entries_.begin() + static_cast<std::ptrdiff_t>(begin), entries_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // Guarded by mutex_.
};

// An order that a server has acknowledged as stored.
struct Acknowledged {
  std::string request_id;
  // Empty: the server did not say (ImportOrders).
  std::string order_id;
};

// An order that has reached a state.
struct Event {
  std::string order_id;
  orders::v1::OrderState state;

  bool operator==(const Event&) const = default;
};

// What one caller was told about orders, in that order.
struct Told {
  std::string caller;
  Journal<Event> events;
};

// The same for a caller that follows only some orders.
struct Tracked : Told {
  Journal<std::string> order_ids;
};

// What callers know, which the servers must not contradict.
//
// Lifetime: its parts keep their addresses as long as it exists.
struct Evidence {
  Journal<Acknowledged> acknowledged;
  // Of every order, from the first event on.
  std::list<Told> watches;
  // Of chosen orders.
  std::list<Tracked> tracks;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_EVIDENCE_H_
