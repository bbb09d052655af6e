#ifndef SERVICE_RPC_TESTING_BLOCKER_H_
#define SERVICE_RPC_TESTING_BLOCKER_H_

#include <future>
#include <list>

#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "grpcpp/support/status.h"

namespace rpc {

// Of a call that leads nowhere.
struct NowhereCall {
  grpc::ClientContext context;
  const grpc::Slice nothing;
  const grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;
};

// Blocks as many of gRPC's threads as there can be, until it goes; by answers of calls that leave no
// trace at any server.
class Blocker {
 public:
  Blocker() {
    for (int i = 0; i < 16; ++i) {
      Awaited& call = calls_.emplace_back();
      stub_.UnaryCall(&call.context, "/nowhere/Blocks", {}, &call.request, &call.response,
                      [this, &call](const grpc::Status&) {
                        free_.wait();
                        call.ended.set_value();
                      });
    }
  }
  ~Blocker() {
    released_.set_value();
    for (Awaited& call : calls_) call.ended.get_future().wait();
  }

 private:
  struct Awaited : NowhereCall {
    std::promise<void> ended;
  };

  std::promise<void> released_;
  std::shared_future<void> free_ = released_.get_future().share();
  grpc::GenericStub stub_{grpc::CreateChannel("", nullptr)};
  std::list<Awaited> calls_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_BLOCKER_H_
