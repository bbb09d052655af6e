#include "service/lifecycle/use_graph.h"

#include <algorithm>
#include <utility>

namespace lifecycle {

std::size_t UseGraph::HeightAbove(const Uses& uses) const {
  if (!uses) return tallest_ + 1;
  std::size_t height = used_by_all_.empty() ? 0 : HeightOf(used_by_all_.back());
  for (const Id used : *uses) {
    if (entries_[used]) height = std::max(height, HeightOf(used));
  }
  return height + 1;
}

UseGraph::Id UseGraph::Add(Uses uses, bool used_by_all) {
  const Id id = entries_.size();
  const std::size_t height = HeightAbove(uses);
  tallest_ = std::max(tallest_, height);
  if (!uses) {
    users_of_all_.push_back(id);
  } else {
    for (const Id used : *uses) {
      if (entries_[used]) ++entries_[used]->users;
    }
  }
  if (used_by_all) used_by_all_.push_back(id);
  entries_.push_back(Entry{std::move(uses), used_by_all, height});
  above_all_ = entries_.size();
  ++left_;
  if (begun_) FreeIfUnused(id);
  return id;
}

void UseGraph::Begin() {
  begun_ = true;
  FreeUnused(0, entries_.size());
}

UseGraph::Id UseGraph::TakeFree() {
  const Id id = free_.back();
  free_.pop_back();
  return id;
}

void UseGraph::Remove(Id id) {
  const Entry gone = std::move(*entries_[id]);
  entries_[id].reset();
  --left_;
  while (above_all_ > 0 && !entries_[above_all_ - 1]) --above_all_;
  if (gone.used_by_all) std::erase(used_by_all_, id);
  if (gone.uses) {
    for (const Id used : *gone.uses) {
      if (!entries_[used]) continue;
      --entries_[used]->users;
      FreeIfUnused(used);
    }
  } else {
    std::erase(users_of_all_, id);
    FreeUnused(users_of_all_.empty() ? 0 : users_of_all_.back(), id);
  }
  if (!used_by_all_.empty()) FreeIfUnused(used_by_all_.back());
}

void UseGraph::FreeIfUnused(Id id) {
  std::optional<Entry>& entry = entries_[id];
  if (!entry || entry->freed || entry->users > 0) return;
  if (!users_of_all_.empty() && users_of_all_.back() > id) return;
  if (entry->used_by_all && above_all_ > id + 1) return;
  entry->freed = true;
  free_.push_back(id);
}

void UseGraph::FreeUnused(Id from, Id to) {
  for (Id id = to; id > from; --id) FreeIfUnused(id - 1);
}

}  // namespace lifecycle
