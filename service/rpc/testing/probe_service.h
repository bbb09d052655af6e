#ifndef SERVICE_RPC_TESTING_PROBE_SERVICE_H_
#define SERVICE_RPC_TESTING_PROBE_SERVICE_H_

#include <condition_variable>
#include <mutex>
#include <set>

#include "service/rpc/testing/probe.grpc.pb.h"

namespace rpc {

// The service of probe.proto, whose calls end when the test wants it.
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives its server.
class ProbeService final : public probe::Probe::CallbackService {
 public:
  ~ProbeService() override;

  // Waits until so many calls of Hold have begun. False: it took too long.
  bool AwaitHeld(int calls);

  // Answers every call that is held. Later ones are held again.
  void Release();

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const probe::Note* request,
                                 probe::Note* response) override;
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const probe::Note* request,
                                 probe::Note* response) override;
  grpc::ServerWriteReactor<probe::Note>* Watch(grpc::CallbackServerContext* context,
                                               const probe::Note* request) override;
  grpc::ServerBidiReactor<probe::Note, probe::Note>* Chat(
      grpc::CallbackServerContext* context) override;

 private:
  class Holding;

  std::mutex mutex_;
  std::condition_variable changed_;
  int begun_ = 0;            // Guarded by mutex_: how often Hold was called.
  std::set<Holding*> held_;  // Guarded by mutex_: those that nobody has ended yet.
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_PROBE_SERVICE_H_
