#include "service/lifecycle/traffic.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/lifecycle/last_resort/precondition.h"

namespace lifecycle {
namespace {

// How long before they are cut calls are told to answer, if the budget allows it.
constexpr Clock::Duration kForAnswers = std::chrono::milliseconds(500);

}  // namespace

std::string RunningCalls(const CallTally& tally) {
  std::vector<std::string> running;
  for (const CallTally::Method& each : tally.methods) {
    if (each.left > 0) {
      running.push_back(absl::StrCat(each.left, " ", each.name.empty() ? "others" : each.name));
    }
  }
  return absl::StrJoin(running, ", ");
}

absl::Status Traffic::Open() {
  if (absl::Status may = MayListen(); !may.ok()) return may;
  absl::Status listens = Listen();
  if (listens.ok()) OpenListener();
  return listens;
}

Traffic::Departure Traffic::AwaitConnectionsGone(Patience& patience) {
  Departure left = Departure::kBusy;
  patience.Poll([&] { return (left = LookAtConnections()) != Departure::kBusy; });
  return left;
}

Traffic::Unfinished Traffic::AwaitCallsFinished(Patience& patience) {
  const Clock& clock = patience.clock();
  const Clock::Duration for_answers =
      std::min(kForAnswers, (patience.deadline() - clock.Now()) / 4);
  patience.Poll([&] {
    if (clock.Now() >= patience.deadline() - for_answers) DemandAnswers();
    return CallsFinished();
  });
  return WhatIsUnfinished();
}

bool Traffic::Cancel(Patience& patience) {
  return patience.Poll([this] { return KeepCancelling(); });
}

TrafficGroup::TrafficGroup(std::vector<Traffic*> members)
    : members_(std::move(members)), not_gone_(members_) {
  Require(!members_.empty(), "a TrafficGroup needs a server");
  for (auto each = members_.begin(); each != members_.end(); ++each) {
    Require(*each != nullptr, "a server of a TrafficGroup is null");
    Require(std::count(each, members_.end(), *each) == 1, "a server is in a TrafficGroup twice");
  }
}

void TrafficGroup::OnHandover(std::function<void(const std::string& to)> handed_over) {
  for (Traffic* const each : members_) each->OnHandover(handed_over);
}

absl::Status TrafficGroup::MayListen() {
  for (Traffic* const each : members_) {
    if (absl::Status may = each->MayListen(); !may.ok()) return may;
  }
  return absl::OkStatus();
}

absl::Status TrafficGroup::Listen() {
  for (Traffic* const each : members_) {
    if (absl::Status listens = each->Listen(); !listens.ok()) return listens;
  }
  return absl::OkStatus();
}

void TrafficGroup::OpenListener() {
  for (Traffic* const each : members_) each->OpenListener();
}

void TrafficGroup::EnterLameDuck() {
  for (Traffic* const each : members_) each->EnterLameDuck();
}

void TrafficGroup::LeaveLameDuck() {
  for (Traffic* const each : members_) each->LeaveLameDuck();
}

void TrafficGroup::CloseListener() {
  for (Traffic* const each : members_) each->CloseListener();
}

void TrafficGroup::WarnIfCallersWait() {
  for (Traffic* const each : members_) each->WarnIfCallersWait();
}

void TrafficGroup::SayGoodbye(Patience& patience, int streams) {
  for (Traffic* const each : members_) each->SayGoodbye(patience, streams);
}

Traffic::Departure TrafficGroup::LookAtConnections() {
  Departure worst = Departure::kGone;
  for (Traffic* const each : members_) worst = std::max(worst, each->LookAtConnections());
  return worst;
}

bool TrafficGroup::CloseSilent() {
  bool all = true;
  for (Traffic* const each : members_) all &= each->CloseSilent();
  return all;
}

void TrafficGroup::BeginShutdown() {
  for (Traffic* const each : members_) each->BeginShutdown();
}

bool TrafficGroup::CallsFinished() {
  bool all = true;  // Each looks, so that it sees what arrives too late.
  for (Traffic* const each : members_) all &= each->CallsFinished();
  return all;
}

void TrafficGroup::DemandAnswers() {
  for (Traffic* const each : members_) each->DemandAnswers();
}

Traffic::Unfinished TrafficGroup::WhatIsUnfinished() const {
  Unfinished sum;
  for (const Traffic* const each : members_) {
    const Unfinished unfinished = each->WhatIsUnfinished();
    sum.calls += unfinished.calls;
    sum.requests += unfinished.requests;
    sum.answers += unfinished.answers;
  }
  return sum;
}

bool TrafficGroup::KeepCancelling() {
  std::erase_if(not_gone_, [](Traffic* each) { return each->KeepCancelling(); });
  return not_gone_.empty();
}

Traffic::Load TrafficGroup::Look() const {
  Load sum;
  for (const Traffic* const each : members_) {
    const Load load = each->Look();
    sum.connections += load.connections;
    sum.calls += load.calls;
    sum.streams += load.streams;
    sum.hinted += load.hinted;
  }
  return sum;
}

bool TrafficGroup::Answers() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const Traffic* each) { return each->Answers(); });
}

int TrafficGroup::TryCallsRunning() const {
  int sum = 0;
  for (const Traffic* const each : members_) sum += each->TryCallsRunning();
  return sum;
}

CallTally TrafficGroup::TryTally() const {
  CallTally sum;
  std::map<std::string, CallTally::Method> methods;
  for (const Traffic* const each : members_) {
    const CallTally tally = each->TryTally();
    sum.streams_ended += tally.streams_ended;
    sum.streams_cut += tally.streams_cut;
    for (const CallTally::Method& method : tally.methods) {
      CallTally::Method& row = methods[method.name];
      row.name = method.name;
      row.finished += method.finished;
      row.cancelled += method.cancelled;
      row.left += method.left;
    }
  }
  for (const auto& [name, row] : methods) sum.methods.push_back(row);
  return sum;
}

}  // namespace lifecycle
