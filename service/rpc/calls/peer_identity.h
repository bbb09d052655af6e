#ifndef SERVICE_RPC_CALLS_PEER_IDENTITY_H_
#define SERVICE_RPC_CALLS_PEER_IDENTITY_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "grpcpp/server_context.h"

namespace rpc {

// Checks a bearer token, and returns whose it is; unset: nobody's. Called on gRPC's threads, so it
// must not block: a signature or a table, not a question to another server. When it throws, the call is
// refused as if its handler had thrown (service/rpc/handler_guard.h).
using TokenCheck = std::function<std::optional<std::string>(const std::string& token)>;

// Who calls, as far as it is proved. Each name begins with its kind: those of the subject
// alternative names in the connection's verified certificate, "uri:spiffe://shop/checkout",
// "dns:checkout.shop", "email:...", "ip:..."; and that of the call's bearer token, "token:importer".
// Two tokens prove nothing. Empty: nobody has proved anything.
//
// Requires: the call's metadata has arrived, as it has in a handler.
std::vector<std::string> PeerIdentity(const grpc::ServerContextBase& context,
                                      const TokenCheck& check_token = nullptr);

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_PEER_IDENTITY_H_
