#include "tests/rolling/proxy.h"

#include <chrono>
#include <cstddef>
#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/eventually.h"

namespace rolling {
namespace {

// grpc.health.v1.Health/Check of the whole server, as bytes on a new connection.
// HAProxy 2.6 can send an HTTP/2 request as a health check, but no body with a zero
// byte in it, and every gRPC message has one.
std::string HealthCheck() {
  constexpr char kData = 0, kEndOfStream = 1;
  const std::string empty_message(5, '\0');
  return rpc::Http2Preface() + rpc::Http2Headers("/grpc.health.v1.Health/Check") +
         rpc::Http2Frame(kData, kEndOfStream, 1, empty_message);
}

// HAProxy 3.2 takes an HTTP/2 server that refuses the connection for one that did not answer, and
// passes on the call only where it passes on such calls, too.
std::string Retries(const std::string& haproxy) {
  testkit::ChildProcess asked({haproxy, "-v"});
  asked.Wait(std::chrono::minutes(1));
  const std::string version = asked.Output();
  if (version.find(" version 2.") != std::string::npos) return "";
  if (version.find(" version 3.0") != std::string::npos) return "";
  return "  retry-on conn-failure empty-response\n";
}

std::string Configuration(const std::string& haproxy, const std::string& address,
                          const std::vector<std::string>& servers, Proxy::Chooses chooses,
                          Proxy::Asks asks, bool tls) {
  const bool calls = chooses == Proxy::Chooses::kForEachCall;
  const std::string http2 = calls ? " proto h2" : "";
  const std::string encrypted =
      calls ? " ssl verify none alpn h2 check-alpn h2" : " check-ssl verify none check-alpn h2";
  std::string text = absl::StrCat(R"(
global
  noreuseport
defaults
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check )",
                                  tls ? "2s" : "300ms", R"(
  mode )",
                                  calls ? "http" : "tcp", R"(
frontend callers
  bind )",
                                  address, http2, R"(
  default_backend orders
backend orders
  balance roundrobin
  option redispatch 1
  default-server check fall 2 rise 1 inter )",
                                  tls ? "500ms" : "100ms", http2, tls ? encrypted : "", "\n");
  for (std::size_t i = 0; i < servers.size(); ++i) {
    absl::StrAppend(&text, "  server orders", i, " ", servers[i], "\n");
  }
  if (asks == Proxy::Asks::kConnection) {
    absl::StrAppend(&text, Retries(haproxy));
  } else {
    // It expects HealthCheckResponse{status: SERVING}; anything else is waited for in
    // vain.
    absl::StrAppend(&text, "  option tcp-check\n  tcp-check connect", tls ? " ssl alpn h2" : "",
                    "\n  tcp-check send-binary ", absl::BytesToHexString(HealthCheck()),
                    "\n  tcp-check expect binary 00000000020801\n");
  }
  return text;
}

std::vector<std::string> Command(const std::string& haproxy, const std::string& directory,
                                 const std::string& configuration) {
  const std::string path = directory + "/haproxy.cfg";
  std::ofstream(path) << configuration;
  return {haproxy, "-db", "-f", path};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Proxy>> Proxy::Start(const std::string& haproxy,
                                                    const std::vector<std::string>& servers,
                                                    Chooses chooses, Asks asks, bool tls) {
  std::unique_ptr<Proxy> proxy(new Proxy(haproxy, servers, chooses, asks, tls));
  if (!testkit::Eventually([&] { return rpc::RawConnection(proxy->address()).connected(); })) {
    return absl::InternalError("HAProxy does not listen\n" + proxy->process_.Output());
  }
  return proxy;
}

Proxy::Proxy(const std::string& haproxy, const std::vector<std::string>& servers, Chooses chooses,
             Asks asks, bool tls)
    : process_(Command(haproxy, directory_.path(),
                       Configuration(haproxy, port_.address(), servers, chooses, asks, tls))) {}

}  // namespace rolling
