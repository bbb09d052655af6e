#ifndef SERVICE_SQLITE_TESTING_FAILING_DISK_H_
#define SERVICE_SQLITE_TESTING_FAILING_DISK_H_

#include <chrono>
#include <cstdint>

namespace sqlite {

// The disk of this process, as full, broken or slow as a test wants it.
//
// A binary that links it calls its pwrite() and fdatasync(), and so does SQLite, whose data go to
// the disk through these two.
//
// Lifetime: one at a time; the disk is well again when it is destroyed.
// Threads: all methods may be called from any thread.
class FailingDisk {
 public:
  FailingDisk() = default;
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  // `error`: ENOSPC, EIO, ...; 0: all is well.
  void FailWrites(int error);
  void FailSyncs(int error);
  // Each sync lasts that much longer, as on a disk that keeps its promises.
  void DelaySyncs(std::chrono::microseconds delay);

  // How many syncs there were in this process.
  std::int64_t syncs() const;
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_TESTING_FAILING_DISK_H_
