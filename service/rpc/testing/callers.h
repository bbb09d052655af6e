#ifndef SERVICE_RPC_TESTING_CALLERS_H_
#define SERVICE_RPC_TESTING_CALLERS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/client_callback.h"
#include "grpcpp/support/status.h"

namespace rpc {

// A channel with a connection of its own: channels with equal arguments would
// share one. `credentials`: null for plaintext; with TLS, the server's certificate must name
// "localhost", wherever it is.
std::shared_ptr<grpc::Channel> NewConnection(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials = nullptr,
    grpc::ChannelArguments arguments = {});

// A context whose call fails rather than hang the test.
std::unique_ptr<grpc::ClientContext> Bounded();

// Whether the compiler looks for undefined behaviour. It then objects to gRPC's header, which calls
// the reactor of bytes that ends a stream before its handler as if it were one of its messages.
bool UndefinedBehaviourIsWatched();

// A stream of any method, whose messages are bytes.
//
// Threads: one.
class RawStream final : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RawStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& method);
  // Cancels the stream if it still runs.
  ~RawStream() override;

  // Sends `message` and waits for one in return; "" when the stream ended instead.
  std::string Ask(const std::string& message);

  // Waits for another message; "" when the stream ended instead.
  std::string Next();

  void Cancel() { context_->TryCancel(); }

  // Waits until the stream has ended, and says how.
  grpc::Status AwaitEnd();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::unique_ptr<grpc::ClientContext> context_ = Bounded();
  grpc::GenericStub stub_;
  bool released_ = false;
  grpc::ByteBuffer sent_;
  grpc::ByteBuffer received_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> read_;            // Guarded by mutex_: how the last read went.
  bool written_ = false;                // Guarded by mutex_: the last write has ended.
  std::optional<grpc::Status> status_;  // Guarded by mutex_: how the stream ended.
};

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

  // Says that nothing more will be sent, and can still receive.
  void EndSending();

  // Reads what arrives until it is `text`. False: the connection ended first, or it
  // took too long.
  bool Receive(const std::string& text);

  // Reads as many bytes, whatever they are. False: as for Receive().
  bool ReceiveBytes(std::size_t count);

  // Reads until `text` has come, somewhere. False: as for Receive().
  bool ReceiveUntil(const std::string& text);

  // Waits until the other side has ended the connection. False: it took too long.
  bool AwaitEnd();

 private:
  // Reads as many bytes as it has. False: as for Receive().
  bool Fill(std::string& received);
  // Waits until there is something to read.
  bool Readable();

  int fd_ = -1;
  bool connected_ = false;
};

// RFC 9113, 4.1.
std::string Http2Frame(char type, char flags, std::uint32_t stream, const std::string& payload);

// What an HTTP/2 caller says first, and the beginning of a call of `path` whose
// message it owes. `more` headers: names and values of at most 126 bytes.
std::string Http2Preface();
std::string Http2Headers(const std::string& path, std::uint32_t stream = 1,
                         const std::map<std::string, std::string>& more = {});

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_CALLERS_H_
