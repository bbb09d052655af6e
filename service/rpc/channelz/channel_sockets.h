#ifndef SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_
#define SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace rpc {

// The sockets of one client channel, from gRPC's own records (channelz), which are always kept.
//
// The problem: dropping the last reference to a channel only begins to close its sockets; one whose
// peer does not read stays open as long as gRPC has something to write to it.
//
// Threads: one at a time.
class ChannelSockets {
 public:
  using Credentials = std::shared_ptr<grpc::ChannelCredentials>;

  // Creates a channel to `target`, and finds its records.
  //
  // channelz numbers channels in the order of their creation, so nothing else in the process may
  // create a channel to the same target meanwhile, except through this function.
  static std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
                                                    const grpc::ChannelArguments& arguments,
                                                    const Credentials& credentials,
                                                    ChannelSockets& sockets);

  // How many are open. Once the channel is gone: how many are left of those that it had when this
  // was last called. A connection attempt is not a socket yet.
  int Count();

 private:
  std::int64_t channel_id_ = 0;
  // Everything ever seen, because the records of a channel that is gone no longer list it; those
  // that are gone themselves are removed.
  std::set<std::int64_t> subchannels_;
  std::set<std::int64_t> sockets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_
