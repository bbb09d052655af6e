#include "service/rpc/server_host.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/grpc.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"

namespace rpc {
namespace {

using lifecycle::Clock;
using lifecycle::Patience;
using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

// How long connections have to end by themselves once no call runs: their callers
// answer the GOAWAY, so the last answers are known to have arrived.
constexpr Clock::Duration kFarewell = std::chrono::milliseconds(20);
// How much later gRPC cuts off what is left than the sequence does. At the same
// moment, gRPC would often be first, and calls that it has cut off count as
// finished.
constexpr Clock::Duration kAfterTheSequence = std::chrono::seconds(1);
// How often what is left is cancelled: a call may be accepted in the very moment
// of the first time.
constexpr Clock::Duration kCancelInterval = std::chrono::milliseconds(20);

std::chrono::system_clock::time_point OnTheWall(Clock::TimePoint point) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             point - std::chrono::steady_clock::now());
}

}  // namespace

ServerHost::ServerHost(Options options, std::vector<NamedService> services, DrainSignal& drain)
    : options_(std::move(options)), services_(std::move(services)), drain_(drain) {}

ServerHost::~ServerHost() {
  if (server_ == nullptr) return;
  CloseListener();
  if (!shutdown_thread_.joinable()) BeginShutdown(Clock::Steady().Now());
  Patience patience(Clock::Steady(), std::chrono::hours(1), {});
  Cancel(patience);
}

absl::Status ServerHost::Start() {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(options_.address);
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);

  grpc::EnableDefaultHealthCheckService(true);
  // gRPC's own health service brings no descriptor, and reflection lists what has
  // none without being able to describe it (grpc/grpc#36665). Naming it links it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      ConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  options_.limits.ApplyTo(builder);
  for (const NamedService& each : services_) builder.RegisterService(&each.service);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(streams_.NewInterceptorFactory());
  builder.experimental().SetInterceptorCreators(std::move(factories));
  server_ = CallCounts::BuildAndStart(builder, counts_);
  if (server_ == nullptr) return absl::UnavailableError("gRPC could not build the server");
  for (const NamedService& each : services_) {
    server_->GetHealthCheckService()->SetServingStatus(each.name, true);
  }

  listener_->Start([this](int listener_fd, int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.listener_fd = listener_fd;
    connection.fd = fd;
    acceptor_->HandleNewConnection(&connection);
  });
  return WritePortFile();
}

std::string ServerHost::address() const { return listener_ == nullptr ? "" : listener_->address(); }

void ServerHost::EnterLameDuck() { server_->GetHealthCheckService()->SetServingStatus(false); }

bool ServerHost::AwaitQuiet(Patience& patience) {
  std::int64_t started = counts_.Now().started;
  Clock::TimePoint since = patience.clock().Now();
  return patience.Poll([&] {
    const Clock::TimePoint now = patience.clock().Now();
    if (const std::int64_t latest = counts_.Now().started; latest != started) {
      started = latest;
      since = now;
    }
    return now - since >= options_.quiet_period;
  });
}

void ServerHost::CloseListener() { listener_->Close(); }

int ServerHost::SayGoodbye(Patience& patience) {
  const int streams = streams_.streams();
  // What streams come back to can take so many a second without their other
  // callers noticing; but half of the time belongs to the streams' last words.
  constexpr int kStreamsPerSecond = 2000;
  const Clock::Duration fair = std::chrono::seconds(1) * streams / kStreamsPerSecond;
  const Clock::Duration most = (patience.deadline() - patience.clock().Now()) / 2;
  drain_.Announce(std::min(fair, most), patience);
  return streams;
}

bool ServerHost::AwaitConnectionsGone(Patience& patience) {
  std::int64_t started = counts_.Now().started;
  Clock::TimePoint since = patience.clock().Now();
  return patience.Poll([&] {
    if (!counts_.AnyConnection()) return true;
    const Clock::TimePoint now = patience.clock().Now();
    const std::int64_t latest = counts_.Now().started;
    if (latest != started || CallsRunning() > 0) {
      started = latest;
      since = now;
    }
    return now - since >= options_.quiet_period;
  });
}

void ServerHost::BeginShutdown(Clock::TimePoint deadline) {
  shutdown_thread_ = std::thread([this, deadline] {
    server_->Shutdown(OnTheWall(deadline + kAfterTheSequence));
    std::lock_guard lock(mutex_);
    shutdown_returned_ = true;
    shutdown_changed_.notify_all();
  });
}

int ServerHost::AwaitCallsFinished(Patience& patience) {
  patience.Poll([this] { return ShutdownReturned() || CallsRunning() == 0; });
  return ShutdownReturned() ? 0 : CallsRunning();
}

bool ServerHost::Cancel(Patience& patience) {
  const auto returned = [this] { return shutdown_returned_; };
  const auto wait_for = [&](Clock::Duration duration) {
    std::unique_lock lock(mutex_);
    return patience.Wait(lock, shutdown_changed_, returned, patience.clock().Now() + duration);
  };
  bool gone = CallsRunning() == 0 && wait_for(kFarewell);
  if (!gone) streams_.CancelAll();
  while (!gone) {
    // Ends idle, frozen and silent connections too, which Shutdown() would wait
    // for (grpc/grpc: src/core/lib/surface/server.cc, CancelAllCalls).
    grpc_server_cancel_all_calls(server_->c_server());
    gone = wait_for(kCancelInterval);
    if (!gone && patience.clock().Now() >= patience.deadline()) return false;
  }
  shutdown_thread_.join();
  server_.reset();
  return true;
}

int ServerHost::TryCallsRunning() const { return CallsRunning(); }

int ServerHost::CallsRunning() const {
  return std::max(static_cast<int>(counts_.Now().running) - streams_.infrastructure_streams(), 0);
}

bool ServerHost::ShutdownReturned() {
  std::lock_guard lock(mutex_);
  return shutdown_returned_;
}

absl::Status ServerHost::WritePortFile() const {
  if (options_.port_file.empty()) return absl::OkStatus();
  // Renamed into place, so that whoever sees the file sees all of it.
  const std::string unfinished = options_.port_file + ".tmp";
  std::ofstream file(unfinished, std::ios::trunc);
  file << address() << '\n';
  file.close();
  if (file.fail() || std::rename(unfinished.c_str(), options_.port_file.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write the port file ", options_.port_file,
                                               ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace rpc
