#ifndef SERVICE_SQLITE_TESTING_FAILING_DISK_H_
#define SERVICE_SQLITE_TESTING_FAILING_DISK_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace sqlite {

// The disk of a process, as full, broken or slow as a test wants it.
//
// A binary that links it calls its pwrite() and fdatasync(), and so does SQLite, whose data go to
// the disk through these two. A process that was started with kLibrary in LD_PRELOAD does so, too.
//
// Lifetime: one at a time of this process; the disk is well again when it is destroyed.
// Threads: all methods may be called from any thread.
class FailingDisk {
 public:
  // As for Runfile().
  static constexpr char kLibrary[] = "service/sqlite/testing/failing_disk.so";
  // The variable that names `control` to another process.
  static constexpr char kVariable[] = "FAILING_DISK_CONTROL";

  // This process's.
  FailingDisk();
  // That of each process with this file, which is created here, in kVariable.
  explicit FailingDisk(const std::string& control);
  ~FailingDisk();
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

  // `error`: ENOSPC, EIO, ...; 0: all is well.
  void FailWrites(int error);
  void FailSyncs(int error);
  // Each sync lasts that much longer, as on a disk that keeps its promises.
  void DelaySyncs(std::chrono::microseconds delay);

  // How many syncs there were.
  std::int64_t syncs() const;

 private:
  struct State;
  friend struct Hooks;

  State& state_;
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_TESTING_FAILING_DISK_H_
