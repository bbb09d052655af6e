#ifndef SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_
#define SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace rpc {

// The sockets of one client channel, from gRPC's own records (channelz), which are
// kept in any case.
//
// The problem: to drop the last reference to a channel only begins to close its
// sockets, and one whose peer does not read stays open for as long as gRPC has
// something to write to it.
//
// Threads: one at a time.
class ChannelSockets {
 public:
  // Makes a channel to `target` without encryption, and finds its records.
  //
  // channelz numbers channels in the order of their making, so no other channel to
  // the same target must be made in the process meanwhile by other means than this.
  static std::shared_ptr<grpc::Channel> MakeChannel(const std::string& target,
                                                    const grpc::ChannelArguments& arguments,
                                                    ChannelSockets& sockets);

  // How many are open. Once the channel is gone: how many of those that it had when
  // this was called last. An attempt to connect is no socket yet.
  int Count();

 private:
  std::int64_t channel_id_ = 0;
  // All that were ever seen: the records of a channel that is gone do not say what it
  // had. Those that are gone themselves are taken out.
  std::set<std::int64_t> subchannels_;
  std::set<std::int64_t> sockets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CHANNEL_SOCKETS_H_
