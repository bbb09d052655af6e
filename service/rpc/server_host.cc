#include "service/rpc/server_host.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "grpc/grpc.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "service/files/write_file.h"
#include "service/lifecycle/last_words.h"
#include "service/lifecycle/running_calls.h"
#include "service/lifecycle/thread_stacks.h"
#include "service/rpc/spare_threads.h"
#include "service/rpc/wall_clock.h"

namespace rpc {
namespace {

using lifecycle::Clock;
using lifecycle::Patience;
using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

// How long a call that gRPC took just before the shutdown may be on its way to its
// handler, where it is counted. The callers have it as well, to answer the GOAWAY: then
// the last answers are known to have arrived.
constexpr Clock::Duration kSettled = std::chrono::milliseconds(50);
// How long before they are cut off calls are told to answer, of a budget that allows it.
constexpr Clock::Duration kForAnswers = std::chrono::milliseconds(500);
// How much later gRPC cuts off what is left than the sequence does. At the same
// moment, gRPC would often be first, and calls that it has cut off count as
// finished.
constexpr Clock::Duration kAfterTheSequence = std::chrono::seconds(1);
// How often what is left is cancelled: a call may be accepted in the very moment
// of the first time.
constexpr Clock::Duration kCancelInterval = std::chrono::milliseconds(20);
// How long what is cancelled has before its connection is cut: peers that read are
// told by gRPC within a few milliseconds.
constexpr Clock::Duration kBeforeCutting = std::chrono::milliseconds(100);

class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return dynamic_cast<grpc::reflection::ProtoServerReflectionPlugin*>(plugin.get()) != nullptr;
    });
  }
};

// For how long something has been as it is.
template <typename State>
class Unchanged {
 public:
  explicit Unchanged(const Clock& clock) : clock_(clock) {}

  // `state`: as it is now. The time since it was seen to change last.
  Clock::Duration For(const State& state) {
    const Clock::TimePoint now = clock_.Now();
    if (state != state_) {
      state_ = state;
      since_ = now;
    }
    return now - since_;
  }

 private:
  const Clock& clock_;
  std::optional<State> state_;  // None was seen yet.
  Clock::TimePoint since_;
};

}  // namespace

ServerHost::ServerHost(Options options, std::vector<NamedService> services, DrainSignal& drain)
    : options_(std::move(options)),
      services_(std::move(services)),
      drain_(drain),
      refused_connections_("refused a connection: the limit of connections or descriptors",
                           [this](const std::string& line) { WriteLog(line); }) {}

ServerHost::~ServerHost() {
  if (server_ == nullptr) return;
  CloseListener();
  BeginShutdown(Clock::Steady().Now());  // If it has not begun yet.
  Patience patience(Clock::Steady(), std::chrono::hours(1), {});
  Cancel(patience);
}

absl::Status ServerHost::Start() {
  if (absl::Status spare = CheckSpareThreads(ThreadsForAServer()); !spare.ok()) return spare;
  // Never undone: gRPC's own shutdown, at its last user's end, joins a thread that
  // polls on for 10 s after the last write that had to wait (grpc/grpc: tcp_posix.cc,
  // run_poller). The process would live on so much longer than its stop.
  grpc_init();
  if (services_.empty() && !options_.prepare) {
    return absl::InvalidArgumentError(
        "a server host without services: give it one, or register them in Options::prepare");
  }
  if (absl::Status bound = BindAll(); !bound.ok()) return bound;
  if (absl::Status built = BuildServer(); !built.ok()) return built;
  try {
    StartThreads();
  } catch (const std::system_error& error) {
    if (!shutdown_thread_.joinable()) server_.reset();  // Nothing else would shut it down.
    return absl::UnavailableError(absl::StrCat("no thread for the server: ", error.what()));
  }
  for (const NamedService& each : services_) {
    server_->GetHealthCheckService()->SetServingStatus(each.name, true);
  }
  return absl::OkStatus();
}

void ServerHost::SayThatThreadsAreBlocked() {
  lifecycle::WriteLastWords(
      {"gRPC's threads have been blocked for a second, and nobody is served: a handler waits "
       "where it must not. In flight: ",
       lifecycle::RunningCalls(calls_.TryTally())});
  lifecycle::WriteThreadStacks(STDERR_FILENO, std::chrono::seconds(1));
}

std::vector<ServerHost::Endpoint> ServerHost::Endpoints() const {
  std::vector<Endpoint> endpoints;
  for (const auto each : absl::StrSplit(options_.address, ',')) {
    endpoints.push_back({std::string(each), options_.credentials});
  }
  endpoints.insert(endpoints.end(), options_.more_endpoints.begin(), options_.more_endpoints.end());
  return endpoints;
}

absl::Status ServerHost::BindAll() {
  for (const Endpoint& each : Endpoints()) {
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(each.address);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*std::move(listener));
  }
  return absl::OkStatus();
}

absl::Status ServerHost::BuildServer() {
  grpc::EnableDefaultHealthCheckService(true);
  // gRPC's own health service brings no descriptor, and reflection lists what has
  // none without being able to describe it (grpc/grpc#36665). Naming it links it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (options_.prepare) options_.prepare(builder);
  if (!options_.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  for (const Endpoint& each : Endpoints()) {
    acceptors_.push_back(builder.experimental().AddExternalConnectionAcceptor(
        ConnectionType::FROM_FD,
        each.credentials == nullptr ? grpc::InsecureServerCredentials() : each.credentials));
  }
  options_.limits.ApplyTo(builder);
  handler_guard_.emplace(
      [this, most = options_.limits.total_calls] { return most > 0 && calls_.running() > most; },
      [this](const std::string& line) { WriteLog(line); });
  for (const NamedService& each : services_) {
    handler_guard_->Install(each.service);
    builder.RegisterService(&each.service);
  }
  calls_.Install(builder, options_.interceptors ? options_.interceptors() : InterceptorFactories());
  server_ = Connections::BuildAndStart(builder, connections_);
  if (server_ == nullptr) return absl::UnavailableError("gRPC could not build the server");
  if (connections_.HasPorts()) {
    server_.reset();
    return absl::InvalidArgumentError(
        "a port was added to the server's builder, which cannot be closed before its callers have "
        "left: use Options::more_endpoints instead");
  }
  return absl::OkStatus();
}

void ServerHost::StartThreads() {
  // Already here: in the middle of a stop there may be no thread to be had.
  shutdown_thread_ = std::thread([this] { ShutDownWhenToldTo(); });
  blocked_threads_.emplace([this] { SayThatThreadsAreBlocked(); });
  const ConnectionLimits& limits = options_.limits;
  connection_guard_.emplace(
      connections_.server_id(),
      ConnectionGuard::Limits{.streams = limits.concurrent_calls,
                              .resets = limits.resets_per_second,
                              .total_streams = limits.total_calls},
      [this](const std::string& peer) {
        for (const auto& listener : listeners_) {
          listener->ResetConnections(
              [&peer](int fd) { return ConnectionGuard::PeerOf(fd) == peer; });
        }
      },
      [this](const std::string& line) { WriteLog(line); });
}

void ServerHost::WriteLog(const std::string& line) const {
  if (options_.log) return options_.log(line);
  lifecycle::WriteLastWords({"warning: ", line});
}

std::string ServerHost::address() const {
  return listeners_.empty() ? "" : listeners_.front()->address();
}

absl::Status ServerHost::OpenListener() {
  if (absl::Status written = WritePortFile(); !written.ok()) return written;
  const int max_descriptors = options_.limits.RaiseMaxDescriptors();
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    const auto accept = [&acceptor = *acceptors_[i]](int listener_fd, int fd) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.listener_fd = listener_fd;
      connection.fd = fd;
      acceptor.HandleNewConnection(&connection);
    };
    listeners_[i]->Start(accept, max_descriptors, [this] { refused_connections_.Count(); });
  }
  return absl::OkStatus();
}

void ServerHost::EnterLameDuck() {
  CountCalls();
  calls_.Hint(true);
  server_->GetHealthCheckService()->SetServingStatus(false);
}

bool ServerHost::AwaitQuiet(Patience& patience) {
  Unchanged<std::int64_t> begun(patience.clock());
  return patience.Poll([&] { return begun.For(calls_.begun()) >= options_.quiet_period; });
}

void ServerHost::LeaveLameDuck() {
  server_->GetHealthCheckService()->SetServingStatus(true);
  calls_.Hint(false);
  calls_.CountByMethod(false);
  counting_ = false;
}

void ServerHost::CloseListener() {
  CountCalls();
  calls_.Hint(true);
  for (const auto& each : listeners_) each->Close();
}

int ServerHost::SayGoodbye(Patience& patience) {
  const int streams = calls_.streams();
  drain_.Announce(GoodbyePace(streams, patience.deadline() - patience.clock().Now()), patience);
  return streams;
}

bool ServerHost::AwaitConnectionsGone(Patience& patience) {
  Unchanged<std::pair<std::int64_t, int>> calls(patience.clock());
  return patience.Poll([&] {
    if (!connections_.Any()) return true;
    const int running = calls_.running();
    return calls.For({calls_.begun(), running}) >= options_.quiet_period && running == 0;
  });
}

void ServerHost::BeginShutdown(Clock::TimePoint deadline) {
  shutting_down_ = true;
  std::lock_guard lock(mutex_);
  if (!shutdown_deadline_) shutdown_deadline_ = deadline;
  shutdown_changed_.notify_all();
}

void ServerHost::ShutDownWhenToldTo() {
  std::unique_lock lock(mutex_);
  shutdown_changed_.wait(lock, [this] { return shutdown_deadline_.has_value(); });
  shutdown_called_ = true;
  lock.unlock();
  server_->Shutdown(OnTheWall(*shutdown_deadline_ + kAfterTheSequence));
  lock.lock();
  shutdown_returned_ = true;
  shutdown_changed_.notify_all();
}

int ServerHost::AwaitCallsFinished(Patience& patience) {
  const Clock& clock = patience.clock();
  Unchanged<std::pair<bool, std::int64_t>> calls(clock);
  const Clock::Duration for_answers =
      std::min(kForAnswers, (patience.deadline() - clock.Now()) / 4);
  const bool finished = patience.Poll([&] {
    if (clock.Now() >= patience.deadline() - for_answers) drain_.DemandAnswers();
    const auto [called, returned] = ShutdownProgress();
    const bool settled = calls.For({called, calls_.begun()}) >= kSettled;
    return returned || (called && settled && calls_.running() == 0);
  });
  return finished ? 0 : calls_.running();
}

bool ServerHost::Cancel(Patience& patience) {
  connection_guard_.reset();  // What is cancelled is not its caller's fault.
  const auto returned = [this] { return shutdown_returned_; };
  const auto wait_for = [&](Clock::Duration duration) {
    std::unique_lock lock(mutex_);
    return patience.Wait(lock, shutdown_changed_, returned, patience.clock().Now() + duration);
  };
  const Clock::TimePoint begun = patience.clock().Now();
  bool gone = wait_for(Clock::Duration::zero());
  if (!gone) calls_.CancelAll();
  while (!gone) {
    // Ends idle, frozen and silent connections too, which Shutdown() would wait
    // for (grpc/grpc: src/core/lib/surface/server.cc, CancelAllCalls).
    grpc_server_cancel_all_calls(server_->c_server());
    gone = wait_for(kCancelInterval);
    if (!gone && patience.clock().Now() - begun >= kBeforeCutting) {
      for (const auto& each : listeners_) each->CutConnections();
    }
    if (!gone && patience.clock().Now() >= patience.deadline()) break;
  }
  refused_ = CallsRefused();
  if (!gone) return false;
  shutdown_thread_.join();
  server_.reset();
  handler_guard_.reset();  // The services may be gone before the host.
  return true;
}

lifecycle::Traffic::Load ServerHost::Look() const {
  return {.connections = connections_.Count(),
          .calls = calls_.running(),
          .streams = calls_.streams(),
          .hinted = calls_.hinted()};
}

int ServerHost::TryCallsRunning() const { return calls_.running(); }

lifecycle::CallTally ServerHost::TryTally() const {
  lifecycle::CallTally tally = calls_.TryTally();
  tally.refused = CallsRefused();
  return tally;
}

void ServerHost::CountCalls() {
  if (std::exchange(counting_, true)) return;
  calls_.CountByMethod(true);
  lost_before_ = CallsLost();
}

std::int64_t ServerHost::CallsLost() const {
  return connections_.CallsBegun() - calls_.begun() - calls_.infrastructure_begun();
}

std::int64_t ServerHost::CallsRefused() const {
  if (!shutting_down_) return 0;
  // Without a server nothing has begun any more.
  return std::max(refused_.load(), CallsLost() - lost_before_);
}

std::pair<bool, bool> ServerHost::ShutdownProgress() {
  std::lock_guard lock(mutex_);
  return {shutdown_called_, shutdown_returned_};
}

absl::Status ServerHost::WritePortFile() const {
  if (options_.port_file.empty()) return absl::OkStatus();
  return files::WriteFile(options_.port_file, address() + "\n", files::kForAll);
}

}  // namespace rpc
