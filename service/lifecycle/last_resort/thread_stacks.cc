#include "service/lifecycle/last_resort/thread_stacks.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/debugging/symbolize.h"
#include "service/lifecycle/last_resort/write_without_blocking.h"

namespace lifecycle {
namespace {

constexpr int kMostThreads = 200;
constexpr int kMostFrames = 40;
// The handler, and the kernel's way into it.
constexpr int kFramesOfTheSignal = 2;

// The stack that one thread at a time records of itself.
void* frames[kMostFrames];
std::atomic<int> depth{0};
std::atomic<pid_t> asked{0};

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

// The output for the stacks, until it accepts no more.
class Paper {
 public:
  Paper(int fd, std::chrono::steady_clock::time_point enough) : fd_(fd), enough_(enough) {}

  // Nothing more is wanted: the time is over, or nobody reads.
  bool Enough() const { return !taken_ || std::chrono::steady_clock::now() >= enough_; }

  // Each line is written at once: other threads write lines to the same place.
  void Write(std::string_view words) {
    size_ += words.copy(line_ + size_, sizeof line_ - size_);
    if (size_ == 0 || line_[size_ - 1] != '\n') return;
    const auto left =
        std::chrono::floor<std::chrono::milliseconds>(enough_ - std::chrono::steady_clock::now());
    const auto patience = std::max(left, std::chrono::milliseconds(0));
    const std::string_view line(line_, std::exchange(size_, 0));
    taken_ = taken_ && WriteWithoutBlocking(fd_, line, patience) == line.size();
  }

  void WriteNumber(std::uintptr_t number, int base) {
    char digits[32];
    Write({digits, std::to_chars(digits, digits + sizeof digits, number, base).ptr});
  }

 private:
  const int fd_;
  const std::chrono::steady_clock::time_point enough_;
  bool taken_ = true;
  char line_[1024];  // A function's name has half of it at most.
  std::size_t size_ = 0;
};

void WriteName(Paper& paper, pid_t thread) {
  char path[64] = "/proc/self/task/";
  char* end = std::to_chars(path + std::strlen(path), path + 40, thread).ptr;
  std::strcpy(end, "/comm");
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  char name[32];
  const ssize_t size = read(file, name, sizeof name);
  close(file);
  if (size > 1) paper.Write({name, static_cast<std::size_t>(size - 1)});  // Without its newline.
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

bool ReadOwnStack() {
  depth = backtrace(frames, kMostFrames);
  return depth > 0;
}

void WriteStack(Paper& paper, pid_t thread) {
  paper.Write("thread ");
  paper.WriteNumber(static_cast<std::uintptr_t>(thread), 10);
  paper.Write(" ");
  WriteName(paper, thread);
  const bool interrupted = thread != gettid();
  if (!(interrupted ? AskForStack(thread) : ReadOwnStack())) {
    return paper.Write(": no stack available\n");
  }
  paper.Write("\n");
  const int first = interrupted ? kFramesOfTheSignal : 0;
  for (int i = first; i < depth; ++i) {
    char name[512];
    // Of a caller's frame there is the address that it returns to.
    const bool is_caller = i > first || !interrupted;
    const char* const called = static_cast<const char*>(frames[i]) - is_caller;
    paper.Write("    ");
    if (!paper.Enough() && absl::Symbolize(called, name, sizeof name)) {
      paper.Write(name);
    } else {
      paper.Write("0x");
      paper.WriteNumber(reinterpret_cast<std::uintptr_t>(called), 16);
    }
    paper.Write("\n");
  }
}

}  // namespace

void PrepareThreadStacks() {
  void* own[2];
  backtrace(own, 2);  // Loads libgcc, once.
}

void WriteThreadStacks(int fd, std::chrono::steady_clock::duration limit) {
  static std::atomic_flag busy;
  if (busy.test_and_set()) return;
  Paper paper(fd, std::chrono::steady_clock::now() + limit);
  struct sigaction write_down = {};
  write_down.sa_handler = WriteDownOwnStack;
  write_down.sa_flags = SA_RESTART;
  sigaction(TheSignal(), &write_down, nullptr);

  // First what is already at hand: at an unplanned end this thread is the one to look at.
  if (!paper.Enough()) WriteStack(paper, gettid());
  const int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  alignas(Entry) char entries[4096];
  int threads = 0;
  for (long size; (size = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < size && threads < kMostThreads;) {
      const Entry& entry = *reinterpret_cast<const Entry*>(entries + at);
      at += entry.size;
      const pid_t thread = std::atoi(entry.name);
      if (thread <= 0 || thread == gettid()) continue;
      if (paper.Enough()) break;
      ++threads;
      WriteStack(paper, thread);
    }
  }
  close(directory);
  busy.clear();
}

}  // namespace lifecycle
