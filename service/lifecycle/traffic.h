#ifndef SERVICE_LIFECYCLE_TRAFFIC_H_
#define SERVICE_LIFECYCLE_TRAFFIC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// What became of the calls that ran when a server began to leave, or came later.
struct CallTally {
  struct Method {
    // "/orders.v1.OrdersService/PlaceOrder"; empty: calls whose method is not known.
    std::string name{};
    // Ended by the handler, and the caller was told.
    std::int64_t finished = 0;
    // Ended without that: the caller had gone, or the call was cut off.
    std::int64_t cancelled = 0;
    // Did not end.
    std::int64_t left = 0;
  };
  // By name; only those with something to tell.
  std::vector<Method> methods{};
  // Streams that ended by themselves or were left by their callers, and streams that
  // were cut off. They are counted among `methods`, too.
  std::int64_t streams_ended = 0;
  std::int64_t streams_cut = 0;
};

// Which calls run: "2 /a.B/C, 1 others". Empty: none does.
std::string RunningCalls(const CallTally& tally);

// What the shutdown sequence needs of a server: the callers, their connections
// and their calls. The gRPC harness implements it (service/rpc/server_host.h).
//
// Threads: the sequence calls every method from one thread, in the order in
// which they stand here, each at most once. Only a manual drain leaves the lame duck,
// and may enter it again then; and it awaits the end of connections twice. Look(),
// TryCallsRunning() and TryTally() may be called from any thread, at any time.
class Traffic {
 public:
  // What there is at one moment, as well as can be told while it changes.
  struct Load {
    int connections = 0;      // That are open.
    int calls = 0;            // Calls that run, streams included.
    int streams = 0;          // Streams among them.
    std::int64_t hinted = 0;  // Calls that began since EnterLameDuck(), and were told so.
  };

  // What there is of connections when they were asked to leave, and had their time.
  enum class Departure { kGone, kSilent, kBusy };

  // What has not ended by itself, and is cut.
  struct Unfinished {
    int calls = 0;     // Calls that run.
    int requests = 0;  // Requests that were arriving still, and are no call yet.
    int answers = 0;   // Connections that hold bytes which their peers have not taken.

    bool any() const { return calls > 0 || requests > 0 || answers > 0; }
  };

  virtual ~Traffic() = default;

  // Lets callers in from now on, and lets them know where.
  //
  // Errors: as the server has them; nobody was let in.
  virtual absl::Status OpenListener() = 0;

  // Tells whoever asks for health that this replica is leaving, and hints it to
  // whoever calls. Serves on.
  virtual void EnterLameDuck() = 0;

  // Takes the lame duck back: everything is as before it.
  virtual void LeaveLameDuck() = 0;

  // New connections are refused from now on, and those that exist are asked to leave
  // (GOAWAY). What comes on them is served.
  virtual void CloseListener() = 0;

  // Tells endless calls to end themselves, at a pace that spares the replicas
  // they come back to. Returns how many there were to tell.
  virtual int SayGoodbye(Patience& patience) = 0;

  // Waits until no connection is left, or those that are left carry nothing and have been
  // silent for a while, or patience is over.
  virtual Departure AwaitConnectionsGone(Patience& patience) = 0;

  // Starts `Server::Shutdown()` and returns: nothing new is taken from now on, on any
  // connection.
  virtual void BeginShutdown() = 0;

  // Waits until no call runs and every answer has left. Returns what had not when
  // patience was over.
  virtual Unfinished AwaitCallsFinished(Patience& patience) = 0;

  // Cancels what still runs, through its own context, and ends connections that
  // carry nothing any more. Waits until the server has let go of everything, and
  // destroys it. False: a call did not end; the server is abandoned as it is, and
  // nothing that its handlers use may be destroyed.
  virtual bool Cancel(Patience& patience) = 0;

  virtual Load Look() const = 0;

  // How many calls run at this moment, by what can be told without waiting.
  virtual int TryCallsRunning() const = 0;

  // What became of the calls since EnterLameDuck(), the last one, or CloseListener()
  // without one. For the report: it must not wait for anything that may hang, and is called
  // at any time, from any thread.
  virtual CallTally TryTally() const { return {}; }
};

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

#endif  // SERVICE_LIFECYCLE_TRAFFIC_H_
