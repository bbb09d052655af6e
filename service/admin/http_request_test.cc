#include "service/admin/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace admin {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

HttpRequest Parsed(const std::string& text) {
  const ParsedRequest parsed = ParseRequest(text);
  EXPECT_TRUE(parsed.request) << text;
  return parsed.request.value_or(HttpRequest());
}

int Refusal(const std::string& text) {
  const ParsedRequest parsed = ParseRequest(text);
  EXPECT_FALSE(parsed.request) << text;
  return parsed.refusal ? parsed.refusal->status : 0;
}

TEST(HttpRequestTest, HasPathAndQuery) {
  const HttpRequest request = Parsed("GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(request.path, "/readyz");
  EXPECT_EQ(request.query, "verbose");
  EXPECT_FALSE(request.head);
  EXPECT_TRUE(Parsed("HEAD / HTTP/1.0\r\n\r\n").head);
}

TEST(HttpRequestTest, MayNameTheWholeUrl) {
  EXPECT_EQ(Parsed("GET http://a:1/metrics?x HTTP/1.1\r\n\r\n").path, "/metrics");
  EXPECT_EQ(Parsed("GET http://a:1 HTTP/1.1\r\n\r\n").path, "/");
  EXPECT_EQ(Parsed("GET http://a?x HTTP/1.1\r\n\r\n").query, "x");
}

TEST(HttpRequestTest, MayHaveBareLineFeeds) {
  EXPECT_EQ(Parsed("GET /livez HTTP/1.1\nHost: a\n\n").path, "/livez");
  EXPECT_EQ(Parsed("GET /livez HTTP/1.1\nHost: a\n\r\n").path, "/livez");
  EXPECT_EQ(Parsed("GET /livez HTTP/1.1\nHost: a\r\n\n").path, "/livez");
}

TEST(HttpRequestTest, MayFollowAnEmptyLine) {
  EXPECT_EQ(Parsed("\r\nGET /livez HTTP/1.1\r\n\r\n").path, "/livez");
  EXPECT_EQ(Parsed("\nGET /livez HTTP/1.1\n\n").path, "/livez");
  EXPECT_EQ(Refusal("\r\n\r\nGET /livez HTTP/1.1\r\n\r\n"), 400);
}

TEST(HttpRequestTest, IsAwaitedUntilItsHeaderEnds) {
  const std::string whole = "\r\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const ParsedRequest parsed = ParseRequest(whole.substr(0, size));
    EXPECT_FALSE(parsed.request || parsed.refusal) << size;
  }
}

TEST(HttpRequestTest, IsRefusedWhenItIsSomethingElse) {
  EXPECT_EQ(Refusal("POST / HTTP/1.1\r\n\r\n"), 405);
  EXPECT_EQ(Refusal("GET /\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("GET  / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(Refusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  // A TLS handshake, which waits for an answer.
  EXPECT_EQ(Refusal("\x16\x03\x01"), 400);
  EXPECT_EQ(Refusal(std::string(1, '\0')), 400);
}

TEST(HttpRequestTest, IsRefusedWhenItIsTooLong) {
  EXPECT_EQ(Refusal("GET /" + std::string(kMaxRequestBytes, 'a')), 431);
  EXPECT_EQ(Refusal(std::string(kMaxRequestBytes, 'A')), 431);
}

TEST(HttpResponseTest, IsSerializedWithItsLength) {
  EXPECT_THAT(Serialize({200, "hello"}, /*head=*/false),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("\r\nContent-Length: 5\r\n"),
                    HasSubstr("\r\nConnection: close\r\n"), EndsWith("\r\n\r\nhello")));
  EXPECT_THAT(Serialize({405, "no"}, false), HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST(HttpResponseTest, OfHeadHasNoBody) {
  EXPECT_THAT(Serialize({503, "not ready"}, /*head=*/true),
              AllOf(HasSubstr("\r\nContent-Length: 9\r\n"), EndsWith("\r\n\r\n")));
}

}  // namespace
}  // namespace admin
