#include "service/admin/http_request.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace admin {
namespace {

const char* Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

ParsedRequest Refuse(int status, std::string words) {
  return {.request = std::nullopt, .refusal = HttpResponse{status, std::move(words)}};
}

// One empty line before a request is ignored (RFC 9112, 2.2).
std::string_view WithoutEmptyLine(std::string_view received) {
  if (received.starts_with("\r\n")) return received.substr(2);
  return received.starts_with("\n") ? received.substr(1) : received;
}

// Where the header ends; npos: it has not ended yet. Each line may end with a bare LF (RFC 9112, 2.2).
std::size_t EndOfHeader(std::string_view received) {
  return std::min(received.find("\n\r\n"), received.find("\n\n"));
}

// A proxy may send the whole URL.
std::string WithoutHost(const std::string& target) {
  const std::size_t scheme = target.find("://");
  if (scheme == std::string::npos || absl::StartsWith(target, "/")) return target;
  const std::size_t path = target.find_first_of("/?", scheme + 3);
  if (path == std::string::npos) return "/";
  return target[path] == '?' ? "/" + target.substr(path) : target.substr(path);
}

ParsedRequest ParseFirstLine(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/")) {
    return Refuse(400, "this address speaks HTTP/1.1: GET /readyz HTTP/1.1\n");
  }
  if (!absl::StartsWith(words[2], "HTTP/1.")) {
    return Refuse(505, "this address speaks HTTP/1.1; gRPC has its own, --admin_address\n");
  }
  const bool head = words[0] == "HEAD";
  if (!head && words[0] != "GET") return Refuse(405, "only GET and HEAD are served here\n");
  const std::string target = WithoutHost(words[1]);
  const std::size_t query = target.find('?');
  HttpRequest request{.path = target.substr(0, query), .query = "", .head = head};
  if (query != std::string::npos) request.query = target.substr(query + 1);
  return {.request = std::move(request), .refusal = std::nullopt};
}

}  // namespace

ParsedRequest ParseRequest(std::string_view received) {
  received = WithoutEmptyLine(received);
  if (received == "\r") return {};  // Half of an empty line.
  // Such as the first byte of a TLS handshake: there is nothing to wait for.
  if (!received.empty() && !absl::ascii_isupper(static_cast<unsigned char>(received.front()))) {
    return Refuse(400, "this address speaks HTTP/1.1, without TLS\n");
  }
  const std::size_t end = EndOfHeader(received);
  if (end == std::string_view::npos) {
    if (received.size() < kMaxRequestBytes) return {};
    return Refuse(431, absl::StrCat("a request has at most ", kMaxRequestBytes, " bytes here\n"));
  }
  std::string line(received.substr(0, received.find('\n')));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return ParseFirstLine(line);
}

std::string Serialize(const HttpResponse& response, bool head) {
  std::string text = absl::StrCat(
      "HTTP/1.1 ", response.status, " ", Reason(response.status),
      "\r\nContent-Type: ", response.content_type, "\r\nContent-Length: ", response.body.size(),
      "\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff",
      // A page shows what the process says, which may be what a caller has sent: nothing of it is
      // loaded from elsewhere, and no other page may frame it.
      "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
      response.status == 405 ? "\r\nAllow: GET, HEAD" : "", "\r\n\r\n");
  if (!head) text += response.body;
  return text;
}

}  // namespace admin
