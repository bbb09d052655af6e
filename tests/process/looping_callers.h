#ifndef TESTS_PROCESS_LOOPING_CALLERS_H_
#define TESTS_PROCESS_LOOPING_CALLERS_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "grpc/grpc.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "service/rpc/testing/callers.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {

// Threads that call in a loop, each over a channel of its own.
class Callers {
 public:
  // Whether a call waits while nobody can be reached, or fails at once.
  enum class Unreachable { kWait, kFail };

  // `pause`: between two calls of one, on average.
  Callers(int count, std::chrono::milliseconds pause, const std::vector<std::string>& addresses,
          std::shared_ptr<grpc::ChannelCredentials> credentials,
          Unreachable unreachable = Unreachable::kWait)
      : pause_(pause), credentials_(std::move(credentials)), unreachable_(unreachable) {
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
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    const auto stub = bench::Bench::NewStub(rpc::NewConnection(target, credentials_, arguments));
    std::uniform_real_distribution<double> about(0.5, 1.5);
    do {
      grpc::ClientContext context;
      context.set_wait_for_ready(unreachable_ == Unreachable::kWait);
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
  const Unreachable unreachable_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;              // Guarded by mutex_.
  std::vector<std::string> lost_;  // Guarded by mutex_.
  std::atomic<int> answered_{0};
  std::vector<std::thread> threads_;
};

}  // namespace process_test

#endif  // TESTS_PROCESS_LOOPING_CALLERS_H_
