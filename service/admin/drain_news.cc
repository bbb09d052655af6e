#include "service/admin/drain_news.h"

#include <chrono>

namespace admin {
namespace {

constexpr std::chrono::seconds kInterval(1);

}  // namespace

bool DrainNews::IsNews(const lifecycle::ProcessStatus& now, lifecycle::Clock::TimePoint at) {
  if (now.phase == phase_ && now.drained == drained_ && at < next_) return false;
  phase_ = now.phase;
  drained_ = now.drained;
  next_ = at + kInterval;
  return true;
}

}  // namespace admin
