#include "service/admin/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>

#include "absl/status/status.h"
#include "service/admin/testing/http_caller.h"

namespace admin {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr int kAnyDescriptor = 1 << 20;
constexpr HttpLimits kPatient = {
    .connections = 8, .for_request = hours(1), .for_page = hours(1), .for_answer = hours(1)};

// Serves "/quick", "/body" and "/blocked", which blocks until it is released.
class HttpServerTest : public testing::Test {
 protected:
  ~HttpServerTest() override { Release(); }

  void Start(const HttpLimits& limits, const std::string& port_file = "") {
    server_ = std::make_unique<HttpServer>(HttpServer::Options{"127.0.0.1:0", port_file, limits});
    server_->Add(
        "/quick",
        [](const HttpRequest&) {
          return HttpResponse{200, "quick\n"};
        },
        HttpServer::Kind::kNeverBlocks);
    server_->Add("/page", [this](const HttpRequest& request) {
      ++pages_;
      return HttpResponse{200, "page " + request.query};
    });
    server_->Add("/quick?slow", [](const HttpRequest&) { return HttpResponse{200, "slow\n"}; });
    server_->Add("/throws", [](const HttpRequest&) -> HttpResponse {
      throw std::runtime_error("out of paper");
    });
    server_->Add("/throws?int", [](const HttpRequest&) -> HttpResponse { throw 7; });
    server_->Add("/huge", [](const HttpRequest&) {
      return HttpResponse{200, std::string(16 * 1024 * 1024, 'x')};
    });
    server_->Add("/blocked", [this, released = released_.get_future().share()](const HttpRequest&) {
      blocked_.set_value();
      released.wait();
      return HttpResponse{200, "released\n"};
    });
    const absl::Status started = server_->Start(kAnyDescriptor);
    ASSERT_TRUE(started.ok()) << started;
  }

  void Release() {
    if (!was_released_) released_.set_value();
    was_released_ = true;
  }

  HttpAnswer Ask(const std::string& path) { return Get(server_->address(), path); }

  std::unique_ptr<HttpCaller> Send(const std::string& bytes) {
    auto caller = std::make_unique<HttpCaller>(server_->address());
    EXPECT_TRUE(caller->Send(bytes));
    return caller;
  }

  std::promise<void> blocked_;  // By the one request for that page.
  std::promise<void> released_;
  bool was_released_ = false;
  std::atomic<int> pages_ = 0;  // Rendered for "/page".
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesItsPages) {
  Start(kPatient);
  EXPECT_EQ(Ask("/quick").body, "quick\n");
  EXPECT_EQ(Ask("/page?a=b").body, "page a=b");
  EXPECT_EQ(Ask("/quick?slow").body, "slow\n");
  EXPECT_EQ(Ask("/quick?slower").body, "quick\n");
  const HttpAnswer missing = Ask("/");
  EXPECT_EQ(missing.status, 404);
  EXPECT_THAT(missing.body, HasSubstr("/quick\n"));
}

TEST_F(HttpServerTest, SaysWhyAPageFailed) {
  Start(kPatient);
  const HttpAnswer failed = Ask("/throws");
  EXPECT_EQ(failed.status, 503);
  EXPECT_THAT(failed.body, HasSubstr("out of paper"));
  const HttpAnswer other = Ask("/throws?int");
  EXPECT_EQ(other.status, 503);
  EXPECT_THAT(other.body, HasSubstr("this page failed"));
}

TEST_F(HttpServerTest, WritesItsAddressToTheFile) {
  const std::string file = testing::TempDir() + "http_port";
  Start(kPatient, file);
  std::string address;
  std::ifstream(file) >> address;
  EXPECT_EQ(address, server_->address());
}

TEST_F(HttpServerTest, TakesARequestByteByByte) {
  Start(kPatient);
  HttpCaller caller(server_->address());
  for (const char byte : std::string("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")) {
    ASSERT_TRUE(caller.Send(std::string(1, byte)));
  }
  EXPECT_EQ(caller.AwaitAnswer().body, "quick\n");
}

TEST_F(HttpServerTest, AnswersAPeerThatSendsTooMuch) {
  Start(kPatient);
  HttpCaller caller(server_->address());
  ASSERT_TRUE(caller.Send("GET /page HTTP/1.1\r\n\r\n" + std::string(100'000, 'x')));
  EXPECT_EQ(caller.AwaitAnswer().status, 200);
}

TEST_F(HttpServerTest, ServesWhatNeverBlocksWhileAPageBlocks) {
  Start(kPatient);
  const auto blocked = Send("GET /blocked HTTP/1.1\r\n\r\n");
  const auto behind = Send("GET /page HTTP/1.1\r\n\r\n");
  const auto slow = Send("GET /quick?slow HTTP/1.1\r\n\r\n");
  EXPECT_EQ(Ask("/quick").body, "quick\n");
  Release();
  EXPECT_EQ(blocked->AwaitAnswer().body, "released\n");
  EXPECT_EQ(behind->AwaitAnswer().status, 200);
  EXPECT_EQ(slow->AwaitAnswer().body, "slow\n");
}

TEST_F(HttpServerTest, SaysThatAPageTakesTooLong) {
  HttpLimits limits = kPatient;
  limits.for_page = milliseconds(50);
  Start(limits);
  EXPECT_EQ(Ask("/blocked").status, 503);
  EXPECT_EQ(Ask("/page").status, 503);  // Behind it.
  Release();
  int status = 503;
  while (status == 503) status = Ask("/page").status;  // Until the one before it has let it pass.
  EXPECT_EQ(status, 200);
}

TEST_F(HttpServerTest, RendersNothingForAPeerThatIsGone) {
  Start(kPatient);
  const auto blocked = Send("GET /blocked HTTP/1.1\r\n\r\n");
  blocked_.get_future().wait();
  for (int i = 0; i < 3 * kPatient.connections; ++i) {
    const auto behind = Send("GET /page HTTP/1.1\r\n\r\n");
    EXPECT_EQ(Ask("/quick").status, 200);  // Now the page is queued.
    behind->Reset();
    // The reset may be seen together with the first; the second comes after it has been dealt with.
    EXPECT_EQ(Ask("/quick").status, 200);
    EXPECT_EQ(Ask("/quick").status, 200);
  }
  Release();
  EXPECT_EQ(blocked->AwaitAnswer().body, "released\n");
  EXPECT_EQ(Ask("/page").status, 200);  // Behind all that were queued.
  EXPECT_EQ(pages_, 1);
}

TEST_F(HttpServerTest, EndsAConnectionWhoseRequestTakesTooLong) {
  HttpLimits limits = kPatient;
  limits.for_request = milliseconds(50);
  Start(limits);
  HttpCaller silent(server_->address());
  EXPECT_FALSE(silent.ReadByte());
  // A byte now and then changes nothing.
  HttpCaller slow(server_->address());
  ASSERT_TRUE(slow.Send("GET /quick"));
  while (slow.Send("?")) {
  }
}

TEST_F(HttpServerTest, EndsAConnectionThatReadsNoAnswer) {
  HttpLimits limits = kPatient;
  limits.for_answer = milliseconds(50);
  Start(limits);
  const auto deaf = Send("GET /huge HTTP/1.1\r\n\r\n");
  while (deaf->Send("?")) {
  }
}

TEST_F(HttpServerTest, ClosesTheOldestOfTooManyConnections) {
  Start(kPatient);
  std::list<std::unique_ptr<HttpCaller>> half;
  for (int i = 0; i < kPatient.connections; ++i) half.push_back(Send("GET /quick"));
  EXPECT_EQ(Ask("/quick").status, 200);
  EXPECT_FALSE(half.front()->ReadByte());
  ASSERT_TRUE(half.back()->Send(" HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(half.back()->AwaitAnswer().status, 200);
}

TEST_F(HttpServerTest, ClosesAlthoughPeersDoNothing) {
  Start(kPatient);
  const auto half = Send("GET /quick");
  const auto deaf = Send("GET /huge HTTP/1.1\r\n\r\n");
  EXPECT_EQ(Ask("/quick").status, 200);
  EXPECT_TRUE(server_->Close().ok());
  EXPECT_EQ(Ask("/quick").status, 0);
  EXPECT_FALSE(half->ReadByte());
  EXPECT_TRUE(server_->Close().ok());
}

TEST_F(HttpServerTest, ClosingNamesAPageThatStillBlocks) {
  Start(kPatient);
  const auto blocked = Send("GET /blocked HTTP/1.1\r\n\r\n");
  blocked_.get_future().wait();
  EXPECT_EQ(server_->Close().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(blocked->ReadByte());
}

TEST_F(HttpServerTest, SaysThatItsAddressIsInUse) {
  Start(kPatient);
  HttpServer second(HttpServer::Options{server_->address(), "", kPatient});
  EXPECT_EQ(second.Start(kAnyDescriptor).code(), absl::StatusCode::kAlreadyExists);
  for (const char* wrong : {"nowhere", ""}) {
    EXPECT_EQ(HttpServer(HttpServer::Options{wrong}).Start(kAnyDescriptor).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace admin
