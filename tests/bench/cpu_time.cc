#include "tests/bench/cpu_time.h"

#include <time.h>

#include <cstdio>
#include <cstdlib>

namespace bench {

double CpuSpentBy(pid_t process) {
  clockid_t clock{};
  timespec spent{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &spent) != 0) {
    std::fprintf(stderr, "the server has ended\n");
    std::exit(1);
  }
  return static_cast<double>(spent.tv_sec) * 1e6 + static_cast<double>(spent.tv_nsec) / 1e3;
}

}  // namespace bench
