// The smallest service: two unary methods, one stream, one backend, one worker, and state that is
// saved. docs/make-it-yours.md walks through it.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/admin/admin_server.h"
#include "service/config/server_config.h"
#include "service/files/write_file.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/observability/process_log.h"
#include "service/rpc/backend.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/stream.h"
#include "service/rpc/unary.h"
#include "tests/servers/hello/hello.grpc.pb.h"

ABSL_FLAG(std::string, count_file, "greeted", "Where the number of those greeted is kept.");
ABSL_FLAG(std::string, elder, "", "Another Hello, HOST:PORT, which AskElder has greet.");

namespace hello {
namespace {

using Elder = rpc::Backend<v1::Hello>;

// How many were greeted: the state.
struct Greeted {
  // Without a file nobody was greeted.
  absl::Status Load(const std::string& file) {
    if (!std::filesystem::exists(file) || std::ifstream(file) >> saved) return absl::OkStatus();
    return absl::DataLossError("--count_file=" + file + " has no number that can be read");
  }
  absl::Status Save(const std::string& file) const {
    return files::WriteFile(file, absl::StrCat(total(), "\n"), files::kForAll);
  }
  // The worker: loses no more than a second's worth, whatever happens.
  void SaveNowAndThen(const std::string& file, std::stop_token stop) const {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      std::condition_variable_any().wait_for(lock, stop, std::chrono::seconds(1),
                                             [] { return false; });
      Save(file).IgnoreError();  // Tried again; what fails in a shutdown is reported.
    }
  }
  std::int64_t total() const { return saved + since; }

  std::int64_t saved = 0;
  std::atomic<std::int64_t> since{0};
};

// One call of Watch.
class Watch final : public rpc::ServerStream<v1::WatchResponse> {
 public:
  Watch(const v1::WatchRequest& request, const Greeted& greeted)
      : told_(request.after()), greeted_(greeted) {}

 private:
  bool Next(v1::WatchResponse& message) override {
    if (greeted_.total() == told_) {
      WakeAfter(std::chrono::milliseconds(20));
      return false;
    }
    told_ = greeted_.total();
    message.set_greeted(told_);
    return true;
  }
  rpc::ResumePoint Goodbye() override { return {"hello.v1", {{"after", absl::StrCat(told_)}}}; }

  std::int64_t told_;
  const Greeted& greeted_;
};

class Service final : public v1::Hello::CallbackService {
 public:
  Service(Greeted& greeted, Elder& elder) : greeted_(greeted), elder_(elder) {}

 private:
  grpc::ServerUnaryReactor* Greet(grpc::CallbackServerContext* context,
                                  const v1::GreetRequest* request,
                                  v1::GreetResponse* response) override {
    return rpc::AnswerNow(context, [=, this] {
      if (request->name().empty()) return absl::InvalidArgumentError("name: is empty");
      ++greeted_.since;
      response->set_greeting("Hello, " + request->name());
      return absl::OkStatus();
    });
  }
  grpc::ServerUnaryReactor* AskElder(grpc::CallbackServerContext* context,
                                     const v1::GreetRequest* request,
                                     v1::GreetResponse* response) override {
    return rpc::AnswerLater(context, response, [=, this](const auto& answer) {
      elder_.Call(&v1::Hello::Stub::async::Greet, *context, *request, answer);
    });
  }
  grpc::ServerWriteReactor<v1::WatchResponse>* Watch(grpc::CallbackServerContext*,
                                                     const v1::WatchRequest* request) override {
    return rpc::Serve<hello::Watch>(*request, greeted_);
  }

  Greeted& greeted_;
  Elder& elder_;
};

}  // namespace
}  // namespace hello

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();  // Before there is any other thread.
  config::ServerConfig config = config::ParseCommandLine("Says hello.", argc, argv);
  observability::ProcessLog log("hello", config.log);
  config.LogTo(log);
  lifecycle::Process process(config.budget, log);
  admin::AdminServer admin(process, config.admin);
  admin.pages().Show(log, config.flags);
  if (const absl::Status started = admin.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }

  rpc::GoodbyeSignal goodbye;
  const std::string file = absl::GetFlag(FLAGS_count_file);
  hello::Greeted greeted;
  if (const absl::Status loaded = greeted.Load(file); !loaded.ok()) {
    return process.CouldNotStart(loaded);
  }
  hello::Elder elder({.target = absl::GetFlag(FLAGS_elder), .answer_now = goodbye.answer_now()},
                     log.Warner());
  process.registry().Register(
      "elder", [&](lifecycle::Clock::TimePoint deadline) { return elder.Close(deadline); });
  process.SaveOnShutdown("greeted",
                         [&](lifecycle::Clock::TimePoint) { return greeted.Save(file); });
  process.workers().Start("autosave",
                          [&](std::stop_token stop) { greeted.SaveNowAndThen(file, stop); });

  rpc::ServerHost server(config.server, {std::make_shared<hello::Service>(greeted, elder)},
                         goodbye);
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  admin.pages().Show(server);
  return process.ServeUntilShutdown(server);
}
