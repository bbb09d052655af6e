#include "service/sqlite/testing/failing_disk.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

namespace sqlite {
namespace {

std::atomic<int> write_error{0};
std::atomic<int> sync_error{0};
std::atomic<std::int64_t> sync_delay_us{0};
std::atomic<std::int64_t> sync_count{0};

bool Fails(const std::atomic<int>& error) {
  const int value = error;
  if (value != 0) errno = value;
  return value != 0;
}

ssize_t Write(int file, const void* bytes, std::size_t count, std::int64_t offset) {
  if (Fails(write_error)) return -1;
  return syscall(SYS_pwrite64, file, bytes, count, offset);
}

int Sync(long call, int file) {
  ++sync_count;
  if (const std::int64_t delay = sync_delay_us; delay > 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(delay));
  }
  if (Fails(sync_error)) return -1;
  return static_cast<int>(syscall(call, file));
}

}  // namespace

FailingDisk::~FailingDisk() {
  FailWrites(0);
  FailSyncs(0);
  DelaySyncs(std::chrono::microseconds(0));
}

void FailingDisk::FailWrites(int error) { write_error = error; }
void FailingDisk::FailSyncs(int error) { sync_error = error; }
void FailingDisk::DelaySyncs(std::chrono::microseconds delay) { sync_delay_us = delay.count(); }
std::int64_t FailingDisk::syncs() const { return sync_count; }

}  // namespace sqlite

extern "C" {

ssize_t pwrite(int file, const void* bytes, std::size_t count, off_t offset) {
  return sqlite::Write(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void* bytes, std::size_t count, off64_t offset) {
  return sqlite::Write(file, bytes, count, offset);
}
int fdatasync(int file) { return sqlite::Sync(SYS_fdatasync, file); }
int fsync(int file) { return sqlite::Sync(SYS_fsync, file); }
}
