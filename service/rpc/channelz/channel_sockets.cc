#include "service/rpc/channelz/channel_sockets.h"

#include <iterator>
#include <mutex>
#include <vector>

#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "service/rpc/channelz/channelz_json.h"

namespace rpc {
namespace {

std::vector<std::int64_t> ChannelsFrom(std::int64_t first) {
  return IdsInPages(grpc_channelz_get_top_channels, "channelId", first);
}

}  // namespace

std::shared_ptr<grpc::Channel> ChannelSockets::MakeChannel(const std::string& target,
                                                           const grpc::ChannelArguments& arguments,
                                                           const Credentials& credentials,
                                                           ChannelSockets& sockets) {
  static std::mutex& one_at_a_time = *new std::mutex;
  std::lock_guard lock(one_at_a_time);
  const std::vector<std::int64_t> before = ChannelsFrom(1);
  std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(target, credentials, arguments);
  for (const std::int64_t id : ChannelsFrom(before.empty() ? 1 : before.back() + 1)) {
    // gRPC may have put the name of a resolver in front of the target, or written it in
    // another way; it matters only when somebody else has made a channel, too.
    const std::string record = TakeJson(grpc_channelz_get_channel(id));
    const bool named = record.find(target + "\"") != std::string::npos;
    if (named || sockets.channel_id_ == 0) sockets.channel_id_ = id;
  }
  return channel;
}

int ChannelSockets::Count() {
  const std::string channel = TakeJson(grpc_channelz_get_channel(channel_id_));
  for (const std::int64_t id : NumbersInJson(channel, "subchannelId")) subchannels_.insert(id);
  for (auto it = subchannels_.begin(); it != subchannels_.end();) {
    const std::string subchannel = TakeJson(grpc_channelz_get_subchannel(*it));
    for (const std::int64_t id : NumbersInJson(subchannel, "socketId")) sockets_.insert(id);
    it = subchannel.empty() ? subchannels_.erase(it) : std::next(it);
  }
  std::erase_if(sockets_,
                [](std::int64_t id) { return TakeJson(grpc_channelz_get_socket(id)).empty(); });
  return static_cast<int>(sockets_.size());
}

}  // namespace rpc
