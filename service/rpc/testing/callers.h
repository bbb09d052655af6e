#ifndef SERVICE_RPC_TESTING_CALLERS_H_
#define SERVICE_RPC_TESTING_CALLERS_H_

#include <functional>
#include <memory>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace rpc {

// A channel with a connection of its own: channels with equal arguments would
// share one.
std::shared_ptr<grpc::Channel> NewConnection(const std::string& address);

// A context whose call fails rather than hang the test.
std::unique_ptr<grpc::ClientContext> Bounded();

// Looks until it is so. False: it took too long.
bool Eventually(const std::function<bool()>& so);

// A caller below gRPC: a TCP connection that says what it is told to.
class RawConnection {
 public:
  // "127.0.0.1:PORT" or "[::1]:PORT".
  explicit RawConnection(const std::string& address);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  // False: nobody listens there.
  bool connected() const { return connected_; }

  void Send(const std::string& bytes);

  // Reads what arrives until it is `text`. False: the connection ended first, or it
  // took too long.
  bool Receive(const std::string& text);

  // Waits until the other side has ended the connection. False: it took too long.
  bool AwaitEnd();

 private:
  // Waits until there is something to read.
  bool Readable();

  int fd_ = -1;
  bool connected_ = false;
};

// What an HTTP/2 caller says first, and the beginning of a call of `path` whose
// message it owes.
std::string Http2Preface();
std::string Http2Headers(const std::string& path);

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_CALLERS_H_
