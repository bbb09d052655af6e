#ifndef SERVICE_RPC_GUARDED_METHOD_H_
#define SERVICE_RPC_GUARDED_METHOD_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

namespace grpc {
class CompletionQueue;
class ServerContextBase;
}  // namespace grpc

namespace rpc {

// The method whose handler runs, as unary.h and stream.h see it: where its failures and the statuses
// of its calls are reported, and what its server tells it. HandlerGuard implements it.
//
// The problem: what a handler starts, work in a pool or a stream's next message, runs when
// the handler has returned, where nobody knows its method any more. So it asks for
// Current() while the handler runs, and keeps that.
//
// Threads: all methods may be called from any thread. They do not block.
class GuardedMethod {
 public:
  virtual ~GuardedMethod() = default;

  // Something was thrown, or a resume point is one that no caller can be given; `what` is for operators.
  virtual void Threw(const std::string& what) = 0;
  // A call was given up: nobody has its Answer any more.
  virtual void Dropped() {}
  // A message could not be parsed.
  virtual void Undecodable() = 0;

  // The call ends with this status. Called before it does; `call` is CurrentCall().context.
  virtual void Answered(const grpc::ServerContextBase* /*call*/, int /*status*/) {}

  // For one call: requested when its server says goodbye to it (goodbye_signal.h). Never, where
  // there is no server that would.
  virtual std::stop_token Goodbye() const { return {}; }

  // The package of its proto, "orders.v1"; empty where it is not known.
  virtual std::string Package() const { return ""; }

  // That of the handler that runs on this thread, or of what it has left to unary.h, stream.h or
  // backend.h, as they and HandlerGuard announce it. Never null; of what
  // is not guarded nothing is counted or known, and stderr gets what is thrown, as one line.
  static std::shared_ptr<GuardedMethod> Current();

  // The same, but `otherwise` where no handler runs.
  static std::shared_ptr<GuardedMethod> CurrentOr(const std::shared_ptr<GuardedMethod>& otherwise);

  // For what runs without a caller: nothing is counted or known, and `log` gets what is thrown.
  static std::shared_ptr<GuardedMethod> Logging(std::function<void(const std::string& what)> log);

  // What gRPC knows of the call that the handler on this thread serves. Nulls: there is none.
  struct RunningCall {
    grpc::ServerContextBase* context;
    grpc::CompletionQueue* queue;  // Where it reports what it has done.
  };
  static RunningCall CurrentCall();

  // Announces a handler as long as it lives, on the thread that made it.
  class Running {
   public:
    // `method` outlives it.
    explicit Running(const std::shared_ptr<GuardedMethod>& method, const RunningCall& call = {});
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    const std::shared_ptr<GuardedMethod>* const outer_;
    const RunningCall outer_call_;
    const bool outer_failing_;
  };

  // As long as it lives, its thread lets go of what work has left behind that threw: an Answer or a
  // StreamHold that goes then has failed its call. Not in a handler that is announced meanwhile.
  class Failing {
   public:
    Failing();
    ~Failing();
    Failing(const Failing&) = delete;
    Failing& operator=(const Failing&) = delete;

    // Whether there is one on this thread.
    static bool Here();

   private:
    const bool outer_;
  };

  // Runs `work`. False: it threw, which is counted.
  bool Survives(const std::function<void()>& work);
};

}  // namespace rpc

#endif  // SERVICE_RPC_GUARDED_METHOD_H_
