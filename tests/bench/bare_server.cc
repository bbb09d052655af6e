// The server that the harness is measured against: gRPC's callback API as its
// tutorial has it, with the tutorial's stop (a thread that waits for the signal and
// then calls Shutdown(deadline)).
//
// --at_signal has two more stops, the quickest that gRPC has for open streams: cancel
// them all at once, or have their handlers finish them all at once.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "tests/bench/bare_service.h"

ABSL_FLAG(std::string, admin_http_address, "", "Ignored: testkit::ServerProcess passes it.");
ABSL_FLAG(std::string, address, "127.0.0.1:50051", "Where to listen, HOST:PORT.");
ABSL_FLAG(std::string, port_file, "", "Write the bound HOST:PORT into this file.");
ABSL_FLAG(std::string, at_signal, "shutdown", "shutdown, cancel, or finish.");
ABSL_FLAG(bool, look_for_deadlocks, true,
          "As this machine's Abseil does by itself; the harness turns it off (server_host.cc).");

namespace {

constexpr std::chrono::seconds kShutdownDeadline{5};

bool WritePortFile(const std::string& path, const std::string& address, int port) {
  const std::string unfinished = path + ".tmp";
  std::ofstream file(unfinished);
  file << address.substr(0, address.rfind(':')) << ':' << port << '\n';
  file.close();
  return !file.fail() && std::rename(unfinished.c_str(), path.c_str()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  absl::ParseCommandLine(argc, argv);
  const std::string at_signal = absl::GetFlag(FLAGS_at_signal);
  if (at_signal != "shutdown" && at_signal != "cancel" && at_signal != "finish") {
    std::fprintf(stderr, "--at_signal must be shutdown, cancel or finish\n");
    return 1;
  }

  if (!absl::GetFlag(FLAGS_look_for_deadlocks)) {
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  }
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::stop_source finish;
  bench::BareService service([&] { return finish.get_token(); },
                             grpc::Status(grpc::UNAVAILABLE, "draining"));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(absl::GetFlag(FLAGS_address), grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 2;
  const std::string port_file = absl::GetFlag(FLAGS_port_file);
  if (!port_file.empty() && !WritePortFile(port_file, absl::GetFlag(FLAGS_address), port)) {
    std::perror(port_file.c_str());
    return 2;
  }

  std::thread signal_thread([&] {
    int signal = 0;
    sigwait(&stop_signals, &signal);
    if (at_signal == "finish") finish.request_stop();
    const auto now = std::chrono::system_clock::now();
    server->Shutdown(at_signal == "cancel" ? now : now + kShutdownDeadline);
  });
  server->Wait();
  signal_thread.join();
  return 0;
}
