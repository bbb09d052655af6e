#ifndef SERVICE_LIFECYCLE_TRAFFIC_GROUP_H_
#define SERVICE_LIFECYCLE_TRAFFIC_GROUP_H_

#include <vector>

#include "service/lifecycle/traffic.h"

namespace lifecycle {

// Several servers of one process, drained together: each step is done by all of them
// before any does the next, and one that hangs in a step does not keep the others from it.
//
// Servers whose calls should be told to end at the same time share one rpc::GoodbyeSignal.
//
// Threads: as Traffic has them.
// Lifetime: the members outlive it.
class TrafficGroup final : public Traffic {
 public:
  explicit TrafficGroup(std::vector<Traffic*> members);

  // Errors: that of the first that has one; those before it have let callers in.
  absl::Status OpenListener() override;
  void EnterLameDuck() override;
  void LeaveLameDuck() override;
  void CloseListener() override;
  int SayGoodbye(Patience& patience) override;
  // The worst of all.
  Departure AwaitConnectionsGone(Patience& patience) override;
  void BeginShutdown() override;
  Unfinished AwaitCallsFinished(Patience& patience) override;
  // True: of all.
  bool Cancel(Patience& patience) override;
  Load Look() const override;
  int TryCallsRunning() const override;
  CallTally TryTally() const override;

 private:
  const std::vector<Traffic*> members_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TRAFFIC_GROUP_H_
