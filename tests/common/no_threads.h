#ifndef TESTS_COMMON_NO_THREADS_H_
#define TESTS_COMMON_NO_THREADS_H_

#include <pthread.h>

#include <cstddef>
#include <cstdlib>

namespace testkit {

// While it lives this process gets no new thread, as under `prlimit --nproc`, which does not bind root:
// no machine has memory for a thread's stack. Threads that run go on.
class NoThreads {
 public:
  NoThreads() {
    if (pthread_getattr_default_np(&usual_) != 0) std::abort();
    pthread_attr_t impossible = usual_;
    pthread_attr_setstacksize(&impossible, std::size_t{1} << 50);
    if (pthread_setattr_default_np(&impossible) != 0) std::abort();
  }
  ~NoThreads() {
    if (pthread_setattr_default_np(&usual_) != 0) std::abort();
    pthread_attr_destroy(&usual_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t usual_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_NO_THREADS_H_
