#ifndef SERVICE_RPC_HANDLER_FAILURES_H_
#define SERVICE_RPC_HANDLER_FAILURES_H_

#include <functional>
#include <memory>
#include <string>

namespace rpc {

// Where it is counted and logged that a handler failed, and with which status a unary call ends.
//
// The problem: what a handler starts, work in a pool or a stream's next message, runs when
// the handler has returned, where nobody knows its method any more. So it asks for
// Current() while the handler runs, and keeps that.
//
// Threads: all methods may be called from any thread. They do not block.
class HandlerFailures {
 public:
  virtual ~HandlerFailures() = default;

  // Something was thrown; `what` is for operators.
  virtual void Threw(const std::string& what) = 0;
  // A message could not be parsed.
  virtual void Undecodable() = 0;

  // The call ends with this status. Called before it does; `call` is from CurrentCall().
  virtual void Answered(const void* /*call*/, int /*status*/) {}

  // Those of the handler that runs on this thread, as HandlerGuard announces it. Never
  // null; what is not guarded is neither counted nor logged.
  static std::shared_ptr<HandlerFailures> Current();

  // Identifies the call that the handler on this thread serves; null: unknown.
  static const void* CurrentCall();

  // Announces a handler as long as it lives, on the thread that made it.
  class Running {
   public:
    // `failures` outlives it.
    explicit Running(const std::shared_ptr<HandlerFailures>& failures, const void* call = nullptr);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    const std::shared_ptr<HandlerFailures>* const outer_;
    const void* const outer_call_;
  };

  // Runs `work`. False: it threw, which is counted.
  bool Survives(const std::function<void()>& work);
};

}  // namespace rpc

#endif  // SERVICE_RPC_HANDLER_FAILURES_H_
