#include "service/sqlite/testing/failing_disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace sqlite {

// In memory that may be shared; all zero at first.
struct FailingDisk::State {
  std::atomic<int> write_error{0};
  std::atomic<int> sync_error{0};
  std::atomic<std::int64_t> sync_delay_us{0};
  std::atomic<std::int64_t> sync_count{0};
};

// What the system is asked for through here.
struct Hooks {
  using State = FailingDisk::State;

  static State& Shared(const char* control, int flags) {
    const int file = open(control, O_RDWR | O_CLOEXEC | flags, 0600);
    void* memory = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof(State)) == 0) {
      memory = mmap(nullptr, sizeof(State), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (memory == MAP_FAILED) {
      std::perror(control);
      std::abort();
    }
    close(file);
    return *static_cast<State*>(memory);
  }

  static State& Own() {
    static State own;
    static State& state = [&]() -> State& {
      const char* const control = getenv(FailingDisk::kVariable);
      return control == nullptr ? own : Shared(control, 0);
    }();
    return state;
  }

  static bool Fails(const std::atomic<int>& error) {
    const int value = error;
    if (value != 0) errno = value;
    return value != 0;
  }

  static ssize_t Write(int file, const void* bytes, std::size_t count, std::int64_t offset) {
    if (Fails(Own().write_error)) return -1;
    return syscall(SYS_pwrite64, file, bytes, count, offset);
  }

  static int Sync(long call, int file) {
    State& state = Own();
    ++state.sync_count;
    if (const std::int64_t delay = state.sync_delay_us; delay > 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(delay));
    }
    if (Fails(state.sync_error)) return -1;
    return static_cast<int>(syscall(call, file));
  }
};

FailingDisk::FailingDisk() : state_(Hooks::Own()) {}
FailingDisk::FailingDisk(const std::string& control)
    : state_(Hooks::Shared(control.c_str(), O_CREAT)) {}

FailingDisk::~FailingDisk() {
  FailWrites(0);
  FailSyncs(0);
  DelaySyncs(std::chrono::microseconds(0));
  if (&state_ != &Hooks::Own()) munmap(&state_, sizeof state_);
}

void FailingDisk::FailWrites(int error) { state_.write_error = error; }
void FailingDisk::FailSyncs(int error) { state_.sync_error = error; }
void FailingDisk::DelaySyncs(std::chrono::microseconds delay) {
  state_.sync_delay_us = delay.count();
}
std::int64_t FailingDisk::syncs() const { return state_.sync_count; }

}  // namespace sqlite

extern "C" {

ssize_t pwrite(int file, const void* bytes, std::size_t count, off_t offset) {
  return sqlite::Hooks::Write(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void* bytes, std::size_t count, off64_t offset) {
  return sqlite::Hooks::Write(file, bytes, count, offset);
}
int fdatasync(int file) { return sqlite::Hooks::Sync(SYS_fdatasync, file); }
int fsync(int file) { return sqlite::Hooks::Sync(SYS_fsync, file); }
}
