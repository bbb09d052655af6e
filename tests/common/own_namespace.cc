#include "tests/common/own_namespace.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace testkit {
namespace {

std::string Missing(const std::string& what, const std::string& call) {
  return what + " of the test's own cannot be had here (" + call + ": " + std::strerror(errno) +
         "); run it as root with CAP_SYS_ADMIN, or allow user namespaces";
}

bool Unshare(int what) {
  const uid_t user = getuid();
  const gid_t group = getgid();
  if (unshare(what) == 0) return true;
  if (unshare(CLONE_NEWUSER | what) != 0) return false;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  return true;
}

}  // namespace

std::string GetOwnMounts() {
  if (!Unshare(CLONE_NEWNS)) return Missing("mounts", "unshare");
  // EINVAL: / is no mount point, in a chroot. Others may see there what is mounted.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 && errno != EINVAL) {
    return Missing("mounts", "mount");
  }
  return "";
}

std::string GetOwnNetwork() { return Unshare(CLONE_NEWNET) ? "" : Missing("a network", "unshare"); }

}  // namespace testkit
