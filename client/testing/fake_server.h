#ifndef CLIENT_TESTING_FAKE_SERVER_H_
#define CLIENT_TESTING_FAKE_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "admin/v1/admin.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"

namespace client {

// What a method does at its first call, at its second, and so on. A call for which
// nothing is left fails for good, which ends the client under test.
//
// Threads: Then() before the server is called; the rest on any.
template <class... Arguments>
class Script {
 public:
  using Step = std::function<grpc::Status(Arguments...)>;

  Script& Then(Step step) {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(step));
    return *this;
  }

  grpc::Status Play(Arguments... arguments) {
    Step step;
    {
      const std::lock_guard lock(mutex_);
      if (calls_ == steps_.size()) {
        return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "the script has ended");
      }
      step = steps_[calls_++];
    }
    return step(arguments...);
  }

  std::size_t calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Step> steps_;  // Guarded by mutex_.
  std::size_t calls_ = 0;    // Guarded by mutex_.
};

// A values' list that handlers write and tests read.
template <class Value>
class Recorded {
 public:
  void Add(Value value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
  }

  std::vector<Value> all() const {
    const std::lock_guard lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Value> values_;  // Guarded by mutex_.
};

// An AdminService that does what the test scripted.
class FakeAdmin final : public admin::v1::AdminService::Service {
 public:
  using States = grpc::ServerWriter<admin::v1::DrainResponse>;

  Script<States&> drain;
  Script<admin::v1::State&> undrain;
  Script<admin::v1::State&> get_state;

  grpc::Status Drain(grpc::ServerContext*, const admin::v1::DrainRequest*,
                     States* writer) override {
    return drain.Play(*writer);
  }
  grpc::Status Undrain(grpc::ServerContext*, const admin::v1::UndrainRequest*,
                       admin::v1::UndrainResponse* response) override {
    return undrain.Play(*response->mutable_state());
  }
  grpc::Status GetState(grpc::ServerContext*, const admin::v1::GetStateRequest*,
                        admin::v1::GetStateResponse* response) override {
    return get_state.Play(*response->mutable_state());
  }
};

// An AdminService, and any other services of a test, on a free port of this machine, until
// destroyed.
class FakeServer {
 public:
  enum class Health { kNone, kServed };

  explicit FakeServer(Health health = Health::kNone,
                      const std::vector<grpc::Service*>& services = {});
  // With TLS, at "127.0.0.1:12345".
  FakeServer(const std::string& address, const std::shared_ptr<grpc::ServerCredentials>& tls);
  ~FakeServer();

  // "127.0.0.1:12345"
  const std::string& address() const { return address_; }

  // The answer to health checks of the whole server; initially SERVING. Requires: Health::kServed.
  void SetServing(bool serving);

  FakeAdmin admin;

 private:
  FakeServer(Health health, const std::vector<grpc::Service*>& services, const std::string& address,
             const std::shared_ptr<grpc::ServerCredentials>& credentials);

  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// Blocks a handler until the test requests a stop. A handler whose caller leaves first may outlast the
// test's body: it takes the token, and whatever it uses from then on, by value.
void AwaitStop(std::stop_token stop);

// The status that ends a stream in a drain.
grpc::Status Goodbye(const std::string& key, const std::string& value, int retry_seconds);

// A status with an ErrorInfo.
grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata = {});

// INVALID_ARGUMENT with a BadRequest: field -> description.
grpc::Status BadRequest(const std::vector<std::pair<std::string, std::string>>& violations);

}  // namespace client

#endif  // CLIENT_TESTING_FAKE_SERVER_H_
