#ifndef SERVICE_LIFECYCLE_TRAFFIC_H_
#define SERVICE_LIFECYCLE_TRAFFIC_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// What became of the calls that were running when a server began to leave, or that came later.
struct CallTally {
  struct Method {
    // "/orders.v1.OrdersService/PlaceOrder"; empty: calls whose method is not known.
    std::string name{};
    // The handler ended it, and the caller got its status.
    std::int64_t finished = 0;
    // It ended without that: the caller had gone, or the server cut it.
    std::int64_t cancelled = 0;
    // It did not end.
    std::int64_t left = 0;
  };
  // By name; only methods with a count that is not 0.
  std::vector<Method> methods{};
  // Streams that ended on their own or because their callers left, and streams that were cut. They
  // are also counted in `methods`.
  std::int64_t streams_ended = 0;
  std::int64_t streams_cut = 0;
};

// Lists the running calls by method: "2 /a.B/C, 1 others". Empty: none.
std::string RunningCalls(const CallTally& tally);

// A server as the shutdown sequence sees it: its callers, their connections and their calls. The
// gRPC harness implements it (service/rpc/server_host.h).
//
// A server need not wait for its callers, only look at them: the three methods that wait do that
// again and again. So several servers are waited for at once (TrafficGroup).
//
// Threads: the sequence calls the methods from one thread, in the order in which they are declared,
// each at most once. Exceptions: those that look, AwaitConnectionsGone() and CloseSilent() are called
// again and again; only undoing a manual drain calls LeaveLameDuck(), and EnterLameDuck() may follow it
// again. Look(), TryCallsRunning() and TryTally() may be called from any thread at any time.
class Traffic {
 public:
  // A snapshot of the load, as exact as it can be while it changes.
  struct Load {
    int connections = 0;      // Open ones.
    int calls = 0;            // Running ones, streams included.
    int streams = 0;          // Streams among them.
    std::int64_t hinted = 0;  // Calls that began since EnterLameDuck() and got the hint.
  };

  // The state of the connections after they were asked to leave.
  enum class Departure {
    kGone,
    kSilent,   // Those left carry nothing, and have been silent for a while.
    kUnasked,  // They cannot be asked to leave, and so nobody waits for them.
    kBusy
  };

  // What did not finish by itself and is therefore cut.
  struct Unfinished {
    int calls = 0;     // Running calls.
    int requests = 0;  // Requests that are still arriving and not yet a call.
    int answers = 0;   // Connections with bytes that their peers have not taken.

    bool any() const { return calls > 0 || requests > 0 || answers > 0; }
  };

  virtual ~Traffic() = default;

  // Called first. `handed_over` is to be called, from any thread between OpenListener() and
  // CloseListener(), when another process serves at this server's addresses: what is left to do is
  // to drain. `to` names that process.
  virtual void OnHandover(std::function<void(const std::string& to)> /*handed_over*/) {}

  // Lets callers in, in three steps, so that of several servers none does before all can. Errors: those
  // of the first two; then no caller is let in, and nothing is left to close.
  absl::Status Open();
  // Whether it may listen at all. No caller hears of it.
  virtual absl::Status MayListen() { return absl::OkStatus(); }
  // Everything else that may fail. Callers who come from now on wait for the second step, or are reset when
  // the server is destroyed without it.
  virtual absl::Status Listen() = 0;
  // Requires: Listen() was OK.
  virtual void OpenListener() = 0;

  // Fails health checks, and hints to callers that this replica is leaving. Keeps serving.
  virtual void EnterLameDuck() = 0;

  // Reverts EnterLameDuck().
  virtual void LeaveLameDuck() = 0;

  // Accepts no new connections and asks existing ones to leave (GOAWAY), and gives that a moment to be
  // sent: callers of streams that end reconnect at once, and must know by then to go elsewhere. Calls
  // on them are still served. New connections are refused, or wait at a socket that another process
  // has, too.
  virtual void CloseListener() = 0;

  // Only a manual drain calls it: warns if new connections wait, for as long as the drain lasts. In
  // a shutdown a successor accepts them soon.
  virtual void WarnIfCallersWait() {}

  // Asks streams to end themselves, at a pace that spares the replicas they move to. `streams`: how
  // many there are on all servers of the process.
  virtual void SayGoodbye(Patience& patience, int streams) = 0;

  // Waits while connections are busy, until patience runs out.
  virtual Departure AwaitConnectionsGone(Patience& patience);
  virtual Departure LookAtConnections() = 0;

  // Only a shutdown calls it, after such a wait: closes the connections that are left, of each server where
  // the last look found all of them silent. False: on one of them a connection no longer is; wait again.
  virtual bool CloseSilent() { return true; }

  // Starts `Server::Shutdown()` and returns: no new call is accepted on any connection.
  virtual void BeginShutdown() = 0;

  // Waits until the calls have finished, or until patience runs out, a moment before which it demands
  // answers. Returns what has not finished.
  virtual Unfinished AwaitCallsFinished(Patience& patience);
  // Whether no call is running and every answer has left, or those left will not finish any more.
  virtual bool CallsFinished() = 0;
  // Tells the calls that still run to answer now, as they will be cut. May be called repeatedly.
  virtual void DemandAnswers() {}
  virtual Unfinished WhatIsUnfinished() const = 0;

  // Cancels what still runs, until the server is gone. False: patience has run out, because a call did
  // not end; the server is abandoned as it is, and nothing that its handlers use may be destroyed.
  virtual bool Cancel(Patience& patience);
  // Cancels what still runs, through its own context, and ends connections that carry nothing. Once
  // everything has been released, destroys the server and returns true. Not called again then.
  virtual bool KeepCancelling() = 0;

  virtual Load Look() const = 0;

  // Whether its threads get to their work: false while handlers block all of them. From any thread
  // at any time, without waiting.
  virtual bool Answers() const { return true; }

  // How many calls are running, as far as can be known without waiting.
  virtual int TryCallsRunning() const = 0;

  // What became of the calls since the last EnterLameDuck(), or since CloseListener() if there was
  // none. For the report: must not wait for anything that may hang, and may be called at any time
  // from any thread.
  virtual CallTally TryTally() const { return {}; }
};

// Drains several servers of one process together: each step is done for all of them before the next
// one begins, and a server that hangs in a step does not keep the others from it.
//
// Servers whose streams should say goodbye at the same time share one rpc::GoodbyeSignal.
//
// Threads: as for Traffic.
// Lifetime: the members outlive it.
class TrafficGroup final : public Traffic {
 public:
  // Requires: there is a member, none is null, and each is there once.
  explicit TrafficGroup(std::vector<Traffic*> members);

  // A handover of one member's addresses drains all of them.
  void OnHandover(std::function<void(const std::string& to)> handed_over) override;
  // Errors: the first member's that has one.
  absl::Status MayListen() override;
  absl::Status Listen() override;
  void OpenListener() override;
  void EnterLameDuck() override;
  void LeaveLameDuck() override;
  void CloseListener() override;
  void WarnIfCallersWait() override;
  void SayGoodbye(Patience& patience, int streams) override;
  // The worst of all members.
  Departure LookAtConnections() override;
  // True: for all members.
  bool CloseSilent() override;
  void BeginShutdown() override;
  // True: for all members.
  bool CallsFinished() override;
  void DemandAnswers() override;
  Unfinished WhatIsUnfinished() const override;
  // True: for all members.
  bool KeepCancelling() override;
  Load Look() const override;
  // True: for all members.
  bool Answers() const override;
  int TryCallsRunning() const override;
  CallTally TryTally() const override;

 private:
  const std::vector<Traffic*> members_;
  std::vector<Traffic*> not_gone_;  // Those for which KeepCancelling() has not returned true.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TRAFFIC_H_
