#ifndef SERVICE_ADMIN_DRAIN_NEWS_H_
#define SERVICE_ADMIN_DRAIN_NEWS_H_

#include "service/lifecycle/clock.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/process.h"

namespace admin {

// Decides which of the states that are seen a watcher of a drain is told: the first one, each new
// phase, the end of the drain, and one a second.
//
// The problem: under load the numbers differ at each look, and nobody reads twenty lines a second.
// When they stop rising is asked by the second (docs/operations.md, "The least lame duck").
//
// Threads: one.
class DrainNews {
 public:
  // Whether to tell `now`, which was seen at `at`. True: it counts as told.
  bool IsNews(const lifecycle::ProcessStatus& now, lifecycle::Clock::TimePoint at);

 private:
  // Of the state that was told last. Nobody drains while the process starts.
  lifecycle::Phase phase_ = lifecycle::Phase::kStarting;
  bool drained_ = false;
  // When the next one is due, whatever it says.
  lifecycle::Clock::TimePoint next_{};
};

}  // namespace admin

#endif  // SERVICE_ADMIN_DRAIN_NEWS_H_
