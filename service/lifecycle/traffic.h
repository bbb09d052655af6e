#ifndef SERVICE_LIFECYCLE_TRAFFIC_H_
#define SERVICE_LIFECYCLE_TRAFFIC_H_

#include <cstdint>

#include "absl/status/status.h"
#include "service/lifecycle/call_tally.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/patience.h"

namespace lifecycle {

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

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TRAFFIC_H_
