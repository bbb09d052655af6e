// A library to preload that delays a thread now and then: where it starts, releases a mutex, sends, receives, accepts,
// connects or has waited for events.
//
// The problem: on an idle machine what comes second nearly always comes second. A test, or a server, that relies on it
// passes a thousand times, and fails once, on a machine that is busy. Most delays are shorter than a time slice, some
// as long as several.
//
// Threads: any. Not for the sanitizers, which must be loaded first.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <memory>

namespace {

// The C library's function of that name.
template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// Of a thread (Marsaglia, "Xorshift RNGs"). Each run is another one: a fault is found by repetition.
std::uint64_t Random() {
  thread_local std::uint64_t state = 0;
  if (state == 0) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    state =
        (reinterpret_cast<std::uintptr_t>(&state) ^ static_cast<std::uint64_t>(now.tv_nsec)) | 1;
  }
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 11;
}

void MayDelay() {
  const int error = errno;
  const std::uint64_t of_a_thousand = Random() % 1000;
  if (of_a_thousand < 15) {
    constexpr long kMicrosecond = 1000;
    const long delay = of_a_thousand < 2 ? 20'000 : of_a_thousand < 6 ? 3'000 : 300;
    const timespec time{.tv_sec = 0, .tv_nsec = delay * kMicrosecond};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  }
  errno = error;
}

struct Start {
  void* (*function)(void*);
  void* argument;
};

void* RunDelayed(void* start) {
  const std::unique_ptr<const Start> mine(static_cast<const Start*>(start));
  MayDelay();
  return mine->function(mine->argument);
}

}  // namespace

extern "C" {

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                   void* argument) {
  static const auto real = Real<decltype(&pthread_create)>("pthread_create");
  auto start = std::make_unique<Start>(Start{function, argument});
  const int error = real(thread, attributes, RunDelayed, start.get());
  if (error == 0) static_cast<void>(start.release());
  return error;
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  static const auto real = Real<decltype(&pthread_mutex_unlock)>("pthread_mutex_unlock");
  const int error = real(mutex);
  MayDelay();
  return error;
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  static const auto real = Real<decltype(&sendmsg)>("sendmsg");
  MayDelay();
  return real(fd, message, flags);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  static const auto real = Real<decltype(&recvmsg)>("recvmsg");
  const ssize_t size = real(fd, message, flags);
  MayDelay();
  return size;
}

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  static const auto real = Real<decltype(&accept4)>("accept4");
  MayDelay();
  return real(fd, address, size, flags);
}

int connect(int fd, const sockaddr* address, socklen_t size) {
  static const auto real = Real<decltype(&connect)>("connect");
  MayDelay();
  return real(fd, address, size);
}

int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  static const auto real = Real<decltype(&epoll_wait)>("epoll_wait");
  const int count = real(epoll, events, most, timeout);
  MayDelay();
  return count;
}

}  // extern "C"
