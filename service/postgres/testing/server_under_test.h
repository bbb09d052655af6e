#ifndef SERVICE_POSTGRES_TESTING_SERVER_UNDER_TEST_H_
#define SERVICE_POSTGRES_TESTING_SERVER_UNDER_TEST_H_

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "service/postgres/connection.h"
#include "service/postgres/testing/postgres_server.h"
#include "tests/common/eventually.h"

namespace postgres {

using testkit::Soon;

// The server of a test program.
class ServerEnvironment final : public ::testing::Environment {
 public:
  void SetUp() override {
    auto started = PostgresServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }
  void TearDown() override { server.reset(); }

  std::unique_ptr<PostgresServer> server;
};

inline ServerEnvironment& Environment() {
  static auto* const kEnvironment = static_cast<ServerEnvironment*>(
      ::testing::AddGlobalTestEnvironment(new ServerEnvironment));  // GoogleTest owns it.
  return *kEnvironment;
}

// Before main, so that the server is there when the first test begins.
inline const ServerEnvironment& kServerEnvironment = Environment();

// A database of its own for each test, on one server for all tests of the program.
class ServerUnderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = Environment().server.get();
    ASSERT_NE(server_, nullptr);
    const absl::StatusOr<std::string> database = server_->CreateDatabase();
    ASSERT_TRUE(database.ok()) << database.status();
    const absl::StatusOr<Url> url = Url::Parse(*database);
    ASSERT_TRUE(url.ok()) << url.status();
    url_ = std::make_unique<Url>(*url);
  }

  const Url& url() const { return *url_; }

  std::unique_ptr<Connection> Connect(std::stop_token stop = {}) const {
    auto connection = Connection::Open(url(), std::move(stop), Soon());
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  PostgresServer* server_ = nullptr;

 private:
  std::unique_ptr<Url> url_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_TESTING_SERVER_UNDER_TEST_H_
