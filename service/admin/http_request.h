#ifndef SERVICE_ADMIN_HTTP_REQUEST_H_
#define SERVICE_ADMIN_HTTP_REQUEST_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace admin {

// What is asked for: "/readyz" and "verbose" of "GET /readyz?verbose HTTP/1.1".
struct HttpRequest {
  std::string path;
  std::string query;
  bool head = false;  // Only the header of the answer is wanted.
};

struct HttpResponse {
  int status = 200;
  std::string body = "";
  std::string content_type = "text/plain; charset=utf-8";
};

// The longest header of a request.
inline constexpr std::size_t kMaxRequestBytes = 8192;

// What has been received of a request so far.
struct ParsedRequest {
  std::optional<HttpRequest> request;
  // The answer to what is not a request that is served here. Neither: more must come.
  std::optional<HttpResponse> refusal;
};

// Parses the first bytes of a connection. Only GET and HEAD are served; header fields, bodies and an
// empty line before the request are ignored. Each line may end with a bare LF.
ParsedRequest ParseRequest(std::string_view received);

// The whole answer, as it is sent. The connection ends with it.
std::string Serialize(const HttpResponse& response, bool head);

}  // namespace admin

#endif  // SERVICE_ADMIN_HTTP_REQUEST_H_
