// Serves grpc.examples.demo.Demo, as any other service.
#include <chrono>
#include <memory>
#include <string>

#include "grpcpp/alarm.h"
#include "service/admin/admin_server.h"
#include "service/config/server_config.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/observability/process_log.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "tests/process/demo.grpc.pb.h"

namespace {

namespace demo = grpc::examples::demo;

class Waiting final : public grpc::ServerUnaryReactor {
 public:
  explicit Waiting(std::chrono::milliseconds time) {
    alarm_.Set(std::chrono::system_clock::now() + time, [this](bool passed) {
      Finish(passed ? grpc::Status::OK : grpc::Status::CANCELLED);
    });
  }
  void OnCancel() override { alarm_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  grpc::Alarm alarm_;
};

class DemoService final : public demo::Demo::CallbackService {
  grpc::ServerUnaryReactor* Wait(grpc::CallbackServerContext*, const demo::WaitRequest* request,
                                 demo::WaitReply*) override {
    return new Waiting(std::chrono::milliseconds(request->ms()));
  }
};

}  // namespace

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();
  config::ServerConfig config =
      config::ParseCommandLine("Serves grpc.examples.demo.Demo.", argc, argv);
  observability::ProcessLog log("demo", config.log);
  config.LogTo(log);
  lifecycle::Process process(config.budget, log);
  admin::AdminServer admin(process, config.admin);
  admin.pages().Show(log, config.flags);
  if (const absl::Status started = admin.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }

  rpc::GoodbyeSignal goodbye;
  rpc::ServerHost server(config.server, {std::make_shared<DemoService>()}, goodbye);
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  admin.pages().Show(server);
  return process.ServeUntilShutdown(server);
}
