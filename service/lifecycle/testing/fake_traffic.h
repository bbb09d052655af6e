#ifndef SERVICE_LIFECYCLE_TESTING_FAKE_TRAFFIC_H_
#define SERVICE_LIFECYCLE_TESTING_FAKE_TRAFFIC_H_

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// A Traffic without a server: answers what the test sets, and reports which methods are called.
//
// Threads: the fields are set before the shutdown begins; `connections` may change while nobody
// waits for it.
class FakeTraffic final : public Traffic {
 public:
  // What the methods return. Those that wait return anything but success only when patience runs
  // out.
  absl::Status listens;
  std::atomic<Departure> connections = Departure::kGone;
  std::atomic<int> refuses_to_close = 0;  // How often.
  int calls_that_do_not_finish = 0;
  int requests_that_do_not_arrive = 0;
  int answers_that_do_not_leave = 0;
  bool ends = true;
  Load load{};
  CallTally tally{};
  std::atomic<bool> answers = true;
  // How often Answers() has said that it does not.
  mutable std::atomic<int> refused = 0;
  // How often TryTally() was called.
  mutable std::atomic<int> tallied = 0;
  // What SayGoodbye() was given.
  int told_streams = 0;
  // What OnHandover() was given.
  std::function<void(const std::string& to)> handed_over;

  // Called at the start of every method that the sequence or a group calls, with its name; of one that
  // looks again and again, the first time. While it blocks, so does the caller.
  std::function<void(const std::string& method)> on_call = [](const std::string&) {};

  void OnHandover(std::function<void(const std::string& to)> then) override {
    handed_over = std::move(then);
  }
  absl::Status Listen() override {
    on_call("Listen");
    return listens;
  }
  void OpenListener() override { on_call("OpenListener"); }
  void EnterLameDuck() override { on_call("EnterLameDuck"); }
  void LeaveLameDuck() override { on_call("LeaveLameDuck"); }
  void CloseListener() override { on_call("CloseListener"); }
  void WarnIfCallersWait() override { on_call("WarnIfCallersWait"); }
  void SayGoodbye(Patience&, int streams) override {
    on_call("SayGoodbye");
    told_streams = streams;
  }
  Departure AwaitConnectionsGone(Patience& patience) override {
    on_call("AwaitConnectionsGone");
    if (connections == Departure::kBusy) patience.Exhaust();
    return connections;
  }
  Departure LookAtConnections() override {
    OnLook("LookAtConnections");
    return connections;
  }
  bool CloseSilent() override {
    if (connections == Departure::kSilent) on_call("CloseSilent");
    return --refuses_to_close < 0;
  }
  void BeginShutdown() override { on_call("BeginShutdown"); }
  Unfinished AwaitCallsFinished(Patience& patience) override {
    on_call("AwaitCallsFinished");
    if (WhatIsUnfinished().any()) patience.Exhaust();
    return WhatIsUnfinished();
  }
  bool CallsFinished() override {
    OnLook("CallsFinished");
    return !WhatIsUnfinished().any();
  }
  void DemandAnswers() override {
    if (!std::exchange(demanded_, true)) on_call("DemandAnswers");
  }
  Unfinished WhatIsUnfinished() const override {
    return {calls_that_do_not_finish, requests_that_do_not_arrive, answers_that_do_not_leave};
  }
  bool Cancel(Patience& patience) override {
    on_call("Cancel");
    if (!ends) patience.Exhaust();
    return ends;
  }
  bool KeepCancelling() override {
    OnLook("KeepCancelling");
    return ends;
  }
  Load Look() const override { return load; }
  bool Answers() const override {
    if (answers) return true;
    ++refused;
    return false;
  }
  int TryCallsRunning() const override { return calls_that_do_not_finish; }
  CallTally TryTally() const override {
    ++tallied;
    tallied.notify_all();
    return tally;
  }

 private:
  void OnLook(const std::string& method) {
    if (std::exchange(looking_, method) != method) on_call(method);
  }

  std::string looking_;
  bool demanded_ = false;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_FAKE_TRAFFIC_H_
