#ifndef CLIENT_ADMIN_CLIENT_H_
#define CLIENT_ADMIN_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "admin/v1/admin.grpc.pb.h"
#include "client/connection.h"

namespace client {

// Calls admin.v1.AdminService (proto/admin/v1/admin.proto) of one server.
//
// Threads: all methods may be called from any thread; each blocks until it has an answer.
class AdminClient {
 public:
  // See Connection::Create(). `target` is one server's admin address.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Create(const std::string& target,
                                                             ClientOptions options = {});

  // Drains the server, and calls `on_state` for each state on the way. OK: no caller is left, or
  // the server has gone past that on its way to its end; the last state says which. Also OK:
  // `on_state` returned false, since it wants no more. Once `on_state` was called, the drain
  // continues when this ends, gives up (DEADLINE_EXCEEDED after `limit`; unset: never), loses its
  // connection (UNAVAILABLE) or is interrupted; before that, the server may not have been asked.
  absl::Status Drain(const std::function<bool(const admin::v1::State&)>& on_state,
                     std::optional<std::chrono::milliseconds> limit = std::nullopt);

  absl::StatusOr<admin::v1::State> Undrain();
  absl::StatusOr<admin::v1::State> GetState();

 private:
  explicit AdminClient(Connection connection);

  const Connection connection_;
};

}  // namespace client

#endif  // CLIENT_ADMIN_CLIENT_H_
