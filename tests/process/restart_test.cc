// Replicas that restart in turn under callers who do nothing for it: no retry policy, no
// health check, pick_first over all of them. No call is lost, with TLS or without.
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpc/grpc.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/reserved_port.h"
#include "tests/common/server_process.h"
#include "tests/common/slow_link.h"
#include "tests/common/temp_dir.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using testkit::Ending;

// Threads that call in a loop, each over a channel of its own.
class Callers {
 public:
  // `pause`: between two calls of one, on average.
  Callers(int count, std::chrono::milliseconds pause, const std::vector<std::string>& addresses,
          std::shared_ptr<grpc::ChannelCredentials> credentials)
      : pause_(pause), credentials_(std::move(credentials)) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, i, addresses] { Run(i, addresses); });
    }
  }
  ~Callers() { Stop(); }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    stopped_.notify_all();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

  int answered() const { return answered_; }
  std::vector<std::string> lost() {
    std::lock_guard lock(mutex_);
    return lost_;
  }

 private:
  void Run(int number, std::vector<std::string> addresses) {
    std::mt19937 random(static_cast<unsigned>(number));
    std::shuffle(addresses.begin(), addresses.end(), random);
    std::string target = "ipv4:";
    for (const std::string& address : addresses) {
      target += (target.back() == ':' ? "" : ",") + address;
    }
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetSslTargetNameOverride("localhost");
    const auto stub =
        bench::Bench::NewStub(grpc::CreateCustomChannel(target, credentials_, arguments));
    std::uniform_real_distribution<double> about(0.5, 1.5);
    do {
      grpc::ClientContext context;
      context.set_wait_for_ready(true);
      // Only how long a broken test takes to fail: where the callers get no time of the machine,
      // each of their attempts to connect takes seconds.
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(4));
      bench::EchoReply reply;
      const grpc::Status status = stub->Echo(&context, {}, &reply);
      if (status.ok()) {
        ++answered_;
        continue;
      }
      std::lock_guard lock(mutex_);
      lost_.push_back(std::to_string(status.error_code()) + ": " + status.error_message());
    } while (!Pause(pause_ * about(random)));
  }

  // True: it is time to stop.
  bool Pause(std::chrono::duration<double, std::milli> pause) {
    std::unique_lock lock(mutex_);
    return stopped_.wait_for(lock, pause, [this] { return stop_; });
  }

  const std::chrono::milliseconds pause_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;              // Guarded by mutex_.
  std::vector<std::string> lost_;  // Guarded by mutex_.
  std::atomic<int> answered_{0};
  std::vector<std::thread> threads_;
};

// With TLS or without.
class RestartTest : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr int kReplicas = 3;
  static constexpr std::chrono::seconds kLimit{40};

  void SetUp() override {
    if (!GetParam()) return;
    const rpc::SelfSigned identity;
    std::ofstream(directory_.File("certificate")) << identity.certificate;
    std::ofstream(directory_.File("key")) << identity.key;
    flags_.push_back("--tls_certificate=" + directory_.File("certificate"));
    flags_.push_back("--tls_key=" + directory_.File("key"));
    credentials_ = identity.Caller();
  }

  void Start(int replica) {
    auto server = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server",
                                                 .flags = flags_,
                                                 .address = ports_[replica].address()});
    ASSERT_TRUE(server.ok()) << server.status();
    servers_[replica] = *std::move(server);
  }

  // Restarts one after the other, when each caller has had some answers meanwhile.
  void RestartUnder(Callers& callers, int restarts, int answers_between) {
    for (int i = 0; i < restarts; ++i) {
      const int enough = callers.answered() + answers_between;
      ASSERT_TRUE(testkit::Eventually([&] { return callers.answered() >= enough; }));
      const int replica = i % kReplicas;
      testkit::ChildProcess& process = servers_[replica]->process();
      process.Signal(SIGTERM);
      ASSERT_EQ(process.Wait(kLimit), Ending::Exited(0)) << process.Output();
      Start(replica);
    }
    callers.Stop();
  }

  const testkit::TempDir directory_;
  std::vector<std::string> flags_ = kAllTheTime;
  std::shared_ptr<grpc::ChannelCredentials> credentials_ = grpc::InsecureChannelCredentials();
  std::array<testkit::ReservedPort, kReplicas> ports_;
  std::array<std::unique_ptr<testkit::ServerProcess>, kReplicas> servers_;
};

INSTANTIATE_TEST_SUITE_P(Over, RestartTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Tls" : "Plaintext"; });

TEST_P(RestartTest, BusyCallersLoseNothing) {
  std::vector<std::string> addresses;
  for (int i = 0; i < kReplicas; ++i) {
    ASSERT_NO_FATAL_FAILURE(Start(i));
    addresses.push_back(ports_[i].address());
  }
  Callers callers(8, std::chrono::milliseconds(0), addresses, credentials_);
  RestartUnder(callers, /*restarts=*/9, /*answers_between=*/1000);
  EXPECT_THAT(callers.lost(), ::testing::IsEmpty());
}

// They poll nothing between two calls, and are a round trip of 100 ms away.
TEST_P(RestartTest, OccasionalCallersFarAwayLoseNothing) {
  std::vector<std::unique_ptr<testkit::SlowLink>> links;
  std::vector<std::string> addresses;
  for (int i = 0; i < kReplicas; ++i) {
    ASSERT_NO_FATAL_FAILURE(Start(i));
    links.push_back(std::make_unique<testkit::SlowLink>(
        ports_[i].address(), testkit::SlowLink::Options{.delay = std::chrono::milliseconds(50)}));
    addresses.push_back(links.back()->address());
  }
  Callers callers(30, std::chrono::milliseconds(500), addresses, credentials_);
  RestartUnder(callers, /*restarts=*/6, /*answers_between=*/60);
  EXPECT_THAT(callers.lost(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace process_test
