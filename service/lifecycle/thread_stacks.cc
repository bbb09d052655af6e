#include "service/lifecycle/thread_stacks.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "absl/debugging/symbolize.h"

namespace lifecycle {
namespace {

constexpr int kMostThreads = 200;
constexpr int kMostFrames = 40;
// The handler, and the kernel's way into it.
constexpr int kFramesOfTheSignal = 2;

// What one thread at a time writes down of itself.
void* frames[kMostFrames];
std::atomic<int> depth{0};
std::atomic<pid_t> asked{0};
std::atomic<int> code_when_over{0};

int TheSignal() { return SIGRTMIN + 7; }

// The fields of a directory's entry as the kernel has them (getdents64(2)).
struct Entry {
  ino64_t inode;
  off64_t next;
  unsigned short size;
  unsigned char type;
  char name[];
};

void WriteDownOwnStack(int) {
  if (asked != gettid()) return;  // Too late: another one is being asked.
  depth = backtrace(frames, kMostFrames);
}

// Writes as much as `fd` takes at once.
void Write(int fd, std::string_view words) {
  [[maybe_unused]] const ssize_t written = write(fd, words.data(), words.size());
}

void WriteNumber(int fd, std::uintptr_t number, int base) {
  char digits[32];
  Write(fd, {digits, std::to_chars(digits, digits + sizeof digits, number, base).ptr});
}

void WriteName(int fd, pid_t thread) {
  char path[64] = "/proc/self/task/";
  char* end = std::to_chars(path + std::strlen(path), path + 40, thread).ptr;
  std::strcpy(end, "/comm");
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  char name[32];
  const ssize_t size = read(file, name, sizeof name);
  close(file);
  if (size > 1) Write(fd, {name, static_cast<std::size_t>(size - 1)});  // Without its newline.
}

// False: it did not answer.
bool AskForStack(pid_t thread) {
  depth = 0;
  asked = thread;
  if (syscall(SYS_tgkill, getpid(), thread, TheSignal()) != 0) return false;
  for (int tries = 0; tries < 100 && depth == 0; ++tries) {
    const timespec a_millisecond = {0, 1'000'000};
    nanosleep(&a_millisecond, nullptr);
  }
  asked = 0;
  return depth > 0;
}

void WriteStack(int fd, pid_t thread, Clock::TimePoint enough) {
  Write(fd, "thread ");
  WriteNumber(fd, thread, 10);
  Write(fd, " ");
  WriteName(fd, thread);
  if (!AskForStack(thread)) return Write(fd, ": no stack to be had\n");
  Write(fd, "\n");
  for (int i = kFramesOfTheSignal; i < depth; ++i) {
    char name[512];
    // Of a caller's frame there is the address that it returns to.
    const char* const called = static_cast<const char*>(frames[i]) - (i > kFramesOfTheSignal);
    Write(fd, "    ");
    if (Clock::Steady().Now() < enough && absl::Symbolize(called, name, sizeof name)) {
      Write(fd, name);
    } else {
      Write(fd, "0x");
      WriteNumber(fd, reinterpret_cast<std::uintptr_t>(called), 16);
    }
    Write(fd, "\n");
  }
}

void EndProcessAfter(Clock::Duration limit, int exit_code) {
  code_when_over = exit_code;
  struct sigaction end = {};
  end.sa_handler = [](int) { _exit(code_when_over); };
  sigaction(SIGALRM, &end, nullptr);
  const auto left = std::chrono::duration_cast<std::chrono::microseconds>(limit).count();
  const itimerval timer = {{0, 0}, {left / 1'000'000, left % 1'000'000}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace

void PrepareThreadStacks() {
  void* own[2];
  backtrace(own, 2);  // Loads libgcc, once.
}

void WriteThreadStacks(int fd, Clock::Duration limit, int exit_code) {
  const Clock::TimePoint enough = Clock::Steady().Now() + limit / 2;
  EndProcessAfter(limit, exit_code);
  struct sigaction write_down = {};
  write_down.sa_handler = WriteDownOwnStack;
  write_down.sa_flags = SA_RESTART;
  sigaction(TheSignal(), &write_down, nullptr);

  const int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  alignas(Entry) char entries[4096];
  int threads = 0;
  for (long size; (size = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < size && threads < kMostThreads;) {
      const Entry& entry = *reinterpret_cast<const Entry*>(entries + at);
      at += entry.size;
      const pid_t thread = std::atoi(entry.name);
      if (thread <= 0 || thread == gettid()) continue;
      if (Clock::Steady().Now() >= enough) break;
      ++threads;
      WriteStack(fd, thread, enough);
    }
  }
  close(directory);
  const itimerval off = {};
  setitimer(ITIMER_REAL, &off, nullptr);
}

}  // namespace lifecycle
