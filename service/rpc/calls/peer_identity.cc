#include "service/rpc/calls/peer_identity.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "grpc/grpc_security_constants.h"
#include "grpcpp/security/auth_context.h"

namespace rpc {
namespace {

constexpr std::pair<const char*, const char*> kKinds[] = {{GRPC_PEER_URI_PROPERTY_NAME, "uri:"},
                                                          {GRPC_PEER_DNS_PROPERTY_NAME, "dns:"},
                                                          {GRPC_PEER_EMAIL_PROPERTY_NAME, "email:"},
                                                          {GRPC_PEER_IP_PROPERTY_NAME, "ip:"}};

std::string Text(const grpc::string_ref& text) { return {text.data(), text.size()}; }

// "Bearer TOKEN", whose first word may be written in any case, and which comes once (RFC 9110).
std::optional<std::string> BearerToken(const grpc::ServerContextBase& context) {
  const auto found = context.client_metadata().find("authorization");
  if (context.client_metadata().count("authorization") != 1) return std::nullopt;
  const std::string value = Text(found->second);
  constexpr std::size_t kScheme = sizeof("bearer ") - 1;
  if (absl::AsciiStrToLower(value.substr(0, kScheme)) != "bearer ") return std::nullopt;
  return value.substr(kScheme);
}

}  // namespace

std::vector<std::string> PeerIdentity(const grpc::ServerContextBase& context,
                                      const TokenCheck& check_token) {
  std::vector<std::string> names;
  const std::shared_ptr<const grpc::AuthContext> proved = context.auth_context();
  if (proved != nullptr && proved->IsPeerAuthenticated()) {
    for (const auto& [property, kind] : kKinds) {
      for (const grpc::string_ref& name : proved->FindPropertyValues(property)) {
        names.push_back(kind + Text(name));
      }
    }
  }
  if (!check_token) return names;
  if (const auto token = BearerToken(context)) {
    if (const auto owner = check_token(*token)) names.push_back("token:" + *owner);
  }
  return names;
}

}  // namespace rpc
