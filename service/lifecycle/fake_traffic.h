#ifndef SERVICE_LIFECYCLE_FAKE_TRAFFIC_H_
#define SERVICE_LIFECYCLE_FAKE_TRAFFIC_H_

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Traffic without a server: answers what the test says, and tells what it is asked.
//
// Threads: the fields are set before the stop begins.
class FakeTraffic final : public Traffic {
 public:
  // What the methods answer. Whatever is not "all is well" is answered only when
  // patience is over.
  absl::Status opens;
  bool quiet = true;
  int streams = 0;
  std::atomic<bool> connections_gone = true;  // May change while nobody waits for it.
  int calls_that_do_not_finish = 0;
  bool ends = true;
  Load load{};
  CallTally tally{};

  // Called at the beginning of every method that the sequence calls, with its
  // name. What it does not return from, the sequence hangs in.
  std::function<void(const std::string& method)> on_call = [](const std::string&) {};

  // What BeginShutdown() was given.
  Clock::TimePoint shutdown_deadline() const { return shutdown_deadline_; }

  absl::Status OpenListener() override {
    on_call("OpenListener");
    return opens;
  }
  void EnterLameDuck() override { on_call("EnterLameDuck"); }
  bool AwaitQuiet(Patience& patience) override {
    on_call("AwaitQuiet");
    if (!quiet) patience.Exhaust();
    return quiet;
  }
  void LeaveLameDuck() override { on_call("LeaveLameDuck"); }
  void CloseListener() override { on_call("CloseListener"); }
  int SayGoodbye(Patience&) override {
    on_call("SayGoodbye");
    return streams;
  }
  bool AwaitConnectionsGone(Patience& patience) override {
    on_call("AwaitConnectionsGone");
    if (!connections_gone) patience.Exhaust();
    return connections_gone;
  }
  void BeginShutdown(Clock::TimePoint deadline) override {
    shutdown_deadline_ = deadline;
    on_call("BeginShutdown");
  }
  int AwaitCallsFinished(Patience& patience) override {
    on_call("AwaitCallsFinished");
    if (calls_that_do_not_finish > 0) patience.Exhaust();
    return calls_that_do_not_finish;
  }
  bool Cancel(Patience& patience) override {
    on_call("Cancel");
    if (!ends) patience.Exhaust();
    return ends;
  }
  Load Look() const override { return load; }
  int TryCallsRunning() const override { return calls_that_do_not_finish; }
  CallTally TryTally() const override { return tally; }

 private:
  std::atomic<Clock::TimePoint> shutdown_deadline_{};
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_FAKE_TRAFFIC_H_
