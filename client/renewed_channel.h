#ifndef CLIENT_RENEWED_CHANNEL_H_
#define CLIENT_RENEWED_CHANNEL_H_

#include <functional>
#include <memory>
#include <mutex>

#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"

namespace client {

// The channel to a server, replaced when there are new credentials.
//
// The problem: a gRPC channel keeps the certificates that it was made with, also for connections
// that it opens weeks later.
//
// Guarantees: a channel with new credentials comes into use when it is connected, or when the
// previous one is not: no connection that works is left for one that does not. Calls that run keep
// their channel.
//
// Threads: Latest() may be called from any thread.
class RenewedChannel {
 public:
  // The same credentials until there are new ones.
  using Source = std::function<std::shared_ptr<grpc::ChannelCredentials>()>;
  using Make = std::function<std::shared_ptr<grpc::Channel>(
      const std::shared_ptr<grpc::ChannelCredentials>&)>;

  RenewedChannel(Source source, Make make);
  RenewedChannel(const RenewedChannel&) = delete;
  RenewedChannel& operator=(const RenewedChannel&) = delete;

  // For the next call: who keeps it keeps its certificates.
  std::shared_ptr<grpc::Channel> Latest();

 private:
  const Source source_;
  const Make make_;
  std::mutex mutex_;  // Guards what follows.
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::shared_ptr<grpc::Channel> newest_;  // With these credentials.
  std::shared_ptr<grpc::Channel> current_;
};

}  // namespace client

#endif  // CLIENT_RENEWED_CHANNEL_H_
