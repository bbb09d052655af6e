#ifndef TESTS_BENCH_CPU_TIME_H_
#define TESTS_BENCH_CPU_TIME_H_

#include <sys/types.h>

namespace bench {

// What a process has spent of the CPU in its life, in microseconds. Ends this one when it is not there.
double CpuSpentBy(pid_t process);

}  // namespace bench

#endif  // TESTS_BENCH_CPU_TIME_H_
