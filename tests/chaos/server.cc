#include "tests/chaos/server.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testkit::Ending;

// Far more than its --termination_grace: only how long a server that hangs holds the test up.
constexpr seconds kLimit{60};
// The longest that a start is tried: a database may be away for a while.
constexpr int kStarts = 60;

// A shutdown in the middle of other faults may have to pass something over, and says so.
const std::set<int> kRightExitCodes = {0, 3, 4};

std::string Text(Ending ending) {
  std::ostringstream text;
  text << ending;
  return text.str();
}

}  // namespace

Server::Server(std::string name, std::string binary, std::vector<std::string> flags, Tally& tally)
    : name_(std::move(name)),
      binary_(std::move(binary)),
      flags_(std::move(flags)),
      tally_(tally),
      link_(port_.address(), {}),
      disk_(directory_.File("disk")) {}

bool Server::Start() {
  process_ = nullptr;
  absl::Status status;
  for (int tries = 0; tries < kStarts; ++tries) {
    auto process = testkit::ServerProcess::Start(
        {.binary = binary_,
         .flags = flags_,
         .address = port_.address(),
         .environment = {{"LD_PRELOAD", testkit::RunfileOrDie(sqlite::FailingDisk::kLibrary)},
                         {sqlite::FailingDisk::kVariable, directory_.File("disk")}}},
        kLimit);
    if (process.ok()) {
      process_ = *std::move(process);
      return true;
    }
    status = process.status();
    // Otherwise its database is away, or its disk is full.
    if (!absl::StartsWith(status.message(), "the server ended (exit code 2)")) break;
    tally_.Count(name_ + ": started in vain");
    std::this_thread::sleep_for(milliseconds(100));
  }
  Tell(absl::StrCat("does not start: ", status.message()));
  return false;
}

void Server::Stop() {
  if (!Runs()) return;
  process_->process().Signal(SIGTERM);
  const Ending ending = process_->process().Wait(kLimit);
  if (ending != Ending::Exited(0)) Tell("was stopped in the end: " + Text(ending));
}

std::vector<Fault> Server::ProcessFaults() {
  return {{name_ + " SIGKILL", 3, [this](Random& random) { Kill(random); }},
          {name_ + " SIGTERM", 2, [this](Random& random) { Terminate(random); }},
          {name_ + " SIGSTOP", 2, [this](Random& random) { Freeze(random); }}};
}

std::vector<Fault> Server::LinkFaults() { return FaultsOfLink(link_, name_); }

std::vector<Fault> Server::DiskFaults() {
  const auto for_a_while = [](Random& random) {
    std::this_thread::sleep_for(Between(random, 20, 500));
  };
  const auto slow = [this, for_a_while](Random& random, milliseconds delay) {
    disk_.DelaySyncs(delay);
    for_a_while(random);
    disk_.DelaySyncs(milliseconds(0));
  };
  return {{name_ + " disk full", 2,
           [this, for_a_while](Random& random) {
             disk_.FailWrites(ENOSPC);
             for_a_while(random);
             disk_.FailWrites(0);
           }},
          {name_ + " fsync fails", 1,
           [this, for_a_while](Random& random) {
             disk_.FailSyncs(EIO);
             for_a_while(random);
             disk_.FailSyncs(0);
           }},
          {name_ + " fsync 2 ms", 2, [slow](Random& random) { slow(random, milliseconds(2)); }},
          {name_ + " fsync 20 ms", 2, [slow](Random& random) { slow(random, milliseconds(20)); }}};
}

void Server::Kill(Random& random) {
  if (!Runs()) return;
  process_->process().Signal(SIGKILL);
  process_->process().Wait(kLimit);
  std::this_thread::sleep_for(Between(random, 0, 100));
  Start();
}

void Server::Terminate(Random& random) {
  if (!Runs()) return;
  process_->process().Signal(SIGTERM);
  const Ending ending = process_->process().Wait(kLimit);
  if (ending.how != Ending::How::kExited || !kRightExitCodes.contains(ending.number)) {
    Tell(absl::StrCat("was sent SIGTERM: ", Text(ending)));
  }
  tally_.Count(absl::StrCat("orderly: ", Text(ending)));
  std::this_thread::sleep_for(Between(random, 0, 100));
  Start();
}

void Server::Freeze(Random& random) {
  if (!Runs()) return;
  process_->process().Signal(SIGSTOP);
  std::this_thread::sleep_for(Between(random, 20, 1000));
  process_->process().Signal(SIGCONT);
}

bool Server::Runs() {
  if (process_ == nullptr) return false;
  const Ending ending = process_->process().Wait(milliseconds(0));
  if (ending == Ending()) return true;
  Tell("ended by itself: " + Text(ending));
  Start();
  return false;
}

std::string Server::Output() const {
  constexpr std::size_t kMost = 6000;
  const std::string output = process_ == nullptr ? "" : process_->process().Output();
  return output.substr(output.size() - std::min(output.size(), kMost));
}

void Server::Tell(const std::string& what) {
  tally_.Violation(absl::StrCat(name_, " ", what, "\n", Output()));
}

std::vector<Fault> FaultsOfLink(testkit::SlowLink& link, const std::string& name) {
  return {{name + " connections cut", 3, [&link](Random&) { link.Cut(); }},
          {name + " link silent", 1, [&link](Random& random) {
             link.SetRate(0);
             std::this_thread::sleep_for(Between(random, 20, 500));
             link.SetRate(testkit::SlowLink::kUnlimited);
           }}};
}

}  // namespace chaos
