#include "tests/common/own_namespace.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace testkit {
namespace {

using ::testing::ExitedWithCode;

// As a container does by default.
void ForbidNamespaces() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter = {static_cast<unsigned short>(std::size(program)), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(90);
  }
}

[[noreturn]] void SayAndExit(const std::string& missing) {
  std::fprintf(stderr, "%s\n", missing.c_str());
  _exit(missing.empty() ? 0 : 1);
}

TEST(OwnNamespaceDeathTest, SaysWhatIsMissingAndItsRemedy) {
  EXPECT_EXIT(
      (ForbidNamespaces(), SayAndExit(GetOwnMounts())), ExitedWithCode(1),
      "^mounts of the test's own cannot be had here \\(unshare: Operation not permitted\\); "
      "run it as root with CAP_SYS_ADMIN, or allow user namespaces\n$");
  EXPECT_EXIT((ForbidNamespaces(), SayAndExit(GetOwnNetwork())), ExitedWithCode(1),
              "^a network of the test's own cannot be had here");
}

// True: it is as it should be, whether there are mounts to be had or not.
bool MountsOrSaysWhyNot() {
  const std::string missing = GetOwnMounts();
  return missing.empty() == (mount("none", "/tmp", "tmpfs", 0, "size=1m") == 0);
}

bool HasANetworkOrSaysWhyNot() {
  const std::string missing = GetOwnNetwork();
  return !missing.empty() || if_nametoindex("eth0") == 0;
}

TEST(OwnNamespaceDeathTest, GivesWhatItSaysThatItGives) {
  EXPECT_EXIT(_exit(MountsOrSaysWhyNot() ? 0 : 1), ExitedWithCode(0), "");
  EXPECT_EXIT(_exit(HasANetworkOrSaysWhyNot() ? 0 : 1), ExitedWithCode(0), "");
}

}  // namespace
}  // namespace testkit
