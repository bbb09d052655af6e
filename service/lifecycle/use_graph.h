#ifndef SERVICE_LIFECYCLE_USE_GRAPH_H_
#define SERVICE_LIFECYCLE_USE_GRAPH_H_

#include <cstddef>
#include <optional>
#include <vector>

namespace lifecycle {

// Which entry of a registry uses which, and which ones nobody uses any more. For ShutdownRegistry,
// which says what using means.
//
// Entries are called by their ids: 0, 1, ... in the order in which they were added.
//
// Cost of an entry from Add() to Remove(): linear in the uses that it declares, plus one step for
// each entry that it stood between.
//
// Threads: one at a time.
class UseGraph {
 public:
  using Id = std::size_t;

  // Unset: every entry added before it.
  using Uses = std::optional<std::vector<Id>>;

  // Adds an entry that uses these, as far as they are left, and all that are left of those added
  // before with `used_by_all`.
  Id Add(Uses uses, bool used_by_all);

  // How long the longest chain of uses is from this entry down, itself included, as it was when the
  // entry was added. Requires: it is left.
  std::size_t HeightOf(Id id) const { return entries_[id]->height; }

  // From now on entries become free: those that are left and that nobody uses.
  void Begin();

  bool any_free() const { return !free_.empty(); }

  // Each free entry once. Requires: any_free().
  Id TakeFree();

  // The entry is gone, and uses nothing any more. Requires: it was taken.
  void Remove(Id id);

  // How many entries are left: added and not removed.
  std::size_t left() const { return left_; }

 private:
  struct Entry {
    Uses uses;
    bool used_by_all;
    std::size_t height;
    std::size_t users = 0;  // That declare it, and are left.
    bool freed = false;
  };

  std::size_t HeightAbove(const Uses& uses) const;
  void FreeIfUnused(Id id);
  void FreeUnused(Id from, Id to);

  std::vector<std::optional<Entry>> entries_;  // By id; unset: removed.
  std::size_t left_ = 0;
  bool begun_ = false;
  std::vector<Id> free_;  // And not taken.

  // Entries that use all below them, and entries that all above them use. In both, each uses the
  // one before it, so the last one is removed first, unless it was added since Begin().
  std::vector<Id> users_of_all_, used_by_all_;
  Id above_all_ = 0;  // No entry of this id or above is left.
  std::size_t tallest_ = 0;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_USE_GRAPH_H_
