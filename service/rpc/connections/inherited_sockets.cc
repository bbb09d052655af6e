#include "service/rpc/connections/inherited_sockets.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace rpc {
namespace {

constexpr int kFirst = 3;
// More than anybody passes, and few enough to look at.
constexpr int kMost = 1000;

absl::Status Malformed(const char* variable, const std::string& value, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(variable, "=", value, ": ", what));
}

}  // namespace

InheritedSockets::~InheritedSockets() {
  for (const Socket& each : sockets_) close(each.fd);
}

absl::StatusOr<std::shared_ptr<InheritedSockets>> InheritedSockets::FromEnvironment(
    const std::function<const char*(const char*)>& environment) {
  auto inherited = std::make_shared<InheritedSockets>();
  const auto value = [&environment](const char* variable) {
    const char* const text = environment(variable);
    return std::string(text == nullptr ? "" : text);
  };
  // Of another process, which has passed its environment on.
  if (value("LISTEN_PID") != absl::StrCat(getpid())) return inherited;
  const std::string count = value("LISTEN_FDS");
  int number = 0;
  if (!absl::SimpleAtoi(count, &number) || number < 0 || number > kMost) {
    return Malformed("LISTEN_FDS", count, "not a number of descriptors");
  }
  const std::string list = value("LISTEN_FDNAMES");
  std::vector<std::string> names;
  if (!list.empty()) names = absl::StrSplit(list, ':');
  if (!names.empty() && names.size() != static_cast<std::size_t>(number)) {
    return Malformed("LISTEN_FDNAMES", list, "not as many names as LISTEN_FDS says");
  }
  for (int i = 0; i < number; ++i) {
    const int fd = kFirst + i;
    if (fcntl(fd, F_GETFD) < 0) {
      return Malformed("LISTEN_FDS", count,
                       absl::StrCat("descriptor ", fd, " is not open").c_str());
    }
    std::vector<std::string> called = {absl::StrCat(kPrefix, fd)};
    if (!names.empty()) called.insert(called.begin(), absl::StrCat(kPrefix, names[i]));
    inherited->Add(fd, std::move(called));
  }
  return inherited;
}

bool InheritedSockets::Socket::IsCalled(const std::string& name) const {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void InheritedSockets::Add(int fd, std::vector<std::string> names) {
  sockets_.push_back({fd, std::move(names)});
}

bool InheritedSockets::Has(const std::string& name) const {
  return std::any_of(sockets_.begin(), sockets_.end(),
                     [&name](const Socket& each) { return each.IsCalled(name); });
}

std::vector<int> InheritedSockets::Take(const std::string& name) {
  std::vector<int> taken;
  std::erase_if(sockets_, [&](const Socket& each) {
    if (!each.IsCalled(name)) return false;
    taken.push_back(each.fd);
    return true;
  });
  return taken;
}

std::string InheritedSockets::FirstNotIn(const std::vector<std::string>& names) const {
  for (const Socket& each : sockets_) {
    const bool named = std::any_of(names.begin(), names.end(), [&each](const std::string& name) {
      return each.IsCalled(name);
    });
    if (!named) return each.names.front();
  }
  return "";
}

std::string InheritedSockets::Describe() const {
  std::vector<std::string> names;
  for (const Socket& each : sockets_) names.push_back(each.names.front());
  if (names.empty()) return "no socket was passed";
  return absl::StrCat(absl::StrJoin(names, " and "), names.size() == 1 ? " was" : " were",
                      " passed");
}

}  // namespace rpc
