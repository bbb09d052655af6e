#include "service/rpc/server_host.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "grpc/grpc.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/support/time.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "service/files/write_file.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/thread_stacks.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/spare_threads.h"
#include "service/rpc/wall_clock.h"

namespace rpc {
namespace {

using lifecycle::Clock;
using lifecycle::Patience;
using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

// How long gRPC has to send its GOAWAYs before the goodbyes.
constexpr Clock::Duration kForGoaway = std::chrono::milliseconds(100);
// How often remaining calls are cancelled: one may be accepted during the first time.
constexpr Clock::Duration kCancelInterval = std::chrono::milliseconds(20);
// How long a cancelled call has before its connection is cut: peers that read hear from gRPC
// within a few milliseconds.
constexpr Clock::Duration kBeforeCutting = std::chrono::milliseconds(100);

// An Abseil that was compiled without NDEBUG, as Debian's is, looks for deadlocks at each of gRPC's
// locks: a tenth of a call's instructions, under one lock for all threads. An optimised server does
// without, as it would with an Abseil compiled like itself (absl/synchronization/mutex.cc).
void LookForNoDeadlocks() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

// Under which name the sockets of each are handed over: its address, with a number where the same one
// came before.
std::vector<std::string> HandoverNames(const std::vector<ServerHost::Endpoint>& endpoints) {
  std::vector<std::string> names;
  std::map<std::string, int> times;
  for (const ServerHost::Endpoint& each : endpoints) {
    const int before = times[each.address]++;
    names.push_back(before == 0 ? each.address : absl::StrCat(each.address, "#", before + 1));
  }
  return names;
}

class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return dynamic_cast<grpc::reflection::ProtoServerReflectionPlugin*>(plugin.get()) != nullptr;
    });
  }
};

}  // namespace

ServerHost::ServerHost(Options options, std::vector<std::shared_ptr<grpc::Service>> services,
                       GoodbyeSignal& goodbye)
    : options_(std::move(options)),
      services_(std::move(services)),
      goodbye_(goodbye),
      refused_connections_("refused a connection: the limit of connections or descriptors",
                           [this](const std::string& line) { WriteLog(line); }),
      cannot_accept_("callers wait, as no connection can be accepted",
                     [this](const std::string& line) { WriteLog(line); }),
      handler_guard_(
          [this, most = options_.limits.max_calls_in_flight] {
            return most > 0 && calls_.TooMany(most);
          },
          [this](const std::string& line) { WriteLog(line); },
          [this](const void* call, int status) { calls_.SetStatus(call, status); }, Authorize(),
          &goodbye_) {}

ServerHost::~ServerHost() {
  lifecycle::Require(!open_,
                     "a server that accepts callers was destroyed without a shutdown: pass it to "
                     "Process::ServeUntilShutdown(), several in a lifecycle::TrafficGroup");
  if (server_ != nullptr) {
    BeginShutdown();  // If it has not begun yet.
    Patience patience(Clock::Steady(), std::chrono::hours(1), {});
    Cancel(patience);
  }
  if (options_.authorization != nullptr) options_.authorization->LogTo(nullptr);
}

absl::Status ServerHost::Start() {
  if (absl::Status spare = CheckSpareThreads(ThreadsForAServer()); !spare.ok()) return spare;
  LookForNoDeadlocks();
  // Never undone: gRPC's own shutdown, at its last user's end, joins a thread that
  // polls on for 10 s after the last write that had to wait (grpc/grpc: tcp_posix.cc,
  // run_poller). The process would outlive its shutdown by that much.
  grpc_init();
  StartThreadsOfExecutor();
  if (services_.empty() && !options_.prepare) {
    return absl::InvalidArgumentError(
        "a server host needs a service: pass one, or register it in Options::prepare");
  }
  if (std::count(services_.begin(), services_.end(), nullptr) > 0) {
    return absl::InvalidArgumentError("a service of a server host is null");
  }
  if (!listeners_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the server for ", options_.address, " was started before"));
  }
  if (absl::Status bound = BindAll(); !bound.ok()) return bound;
  try {
    if (absl::Status built = BuildServer(); !built.ok()) return built;
    StartThreads();
  } catch (const std::system_error& error) {
    if (!shutdown_thread_.joinable()) {  // Nothing else would shut it down.
      drain_of_connections_.reset();
      server_.reset();
    }
    return absl::UnavailableError(absl::StrCat("no thread for the server: ", error.what()));
  }
  if (!GoawaySender::Available()) {
    WriteLog("this gRPC has no SendGoaways(): a shutdown cannot ask connections to leave");
  }
  for (const auto* const names : {&handler_guard_.services(), &options_.health_names}) {
    for (const std::string& name : *names) {
      server_->GetHealthCheckService()->SetServingStatus(name, true);
    }
  }
  return absl::OkStatus();
}

void ServerHost::SayThatThreadsAreBlocked(const std::string& running) {
  WriteLog(
      running.empty()
          ? "gRPC's threads have been busy for a second and serve nobody, but no call is running: "
            "peers send frames faster than they are read, or a callback of a client blocks"
          : absl::StrCat("gRPC's threads have been blocked for a second and serve nobody: a "
                         "handler blocks where it must not, or peers send frames faster than "
                         "they are read. In flight: ",
                         running));
  // Long enough for the names of functions on a busy machine: only the destructor waits for it.
  lifecycle::WriteThreadStacks(STDERR_FILENO, std::chrono::seconds(3));
}

std::string ServerHost::RunningCalls() const {
  const int calls = calls_.running();
  if (calls == 0) return "";
  const std::string by_method = lifecycle::RunningCalls(calls_.TryTally());
  return by_method.empty() ? absl::StrCat(calls, " others") : by_method;
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
  const std::vector<Endpoint> endpoints = Endpoints();
  for (const Endpoint& each : endpoints) {
    if (options_.takeover.empty() || each.address != "unix:" + options_.takeover) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot listen on ", each.address, ": it is the socket file of the takeover, too, which ",
        "would replace it; name another path for one of them"));
  }
  // What its predecessor has and this server does not want is closed here.
  InheritedSockets predecessors;
  if (!options_.takeover.empty()) {
    auto takeover = Takeover::Begin(options_.takeover, predecessors);
    if (!takeover.ok()) return takeover.status();
    takeover_ = *std::move(takeover);
  }
  const std::vector<std::string> names = HandoverNames(endpoints);
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const std::string& address = endpoints[i].address;
    InheritedSockets handed_over;
    for (const int fd : predecessors.Take(names[i])) handed_over.Add(fd, {address});
    InheritedSockets* const inherited =
        handed_over.Has(address) ? &handed_over : options_.inherited.get();
    absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(address, inherited);
    if (!listener.ok()) return listener.status();
    listeners_.push_back(*std::move(listener));
  }
  return absl::OkStatus();
}

absl::Status ServerHost::BuildServer() {
  grpc::EnableDefaultHealthCheckService(true);
  // gRPC's health service comes without a descriptor, so reflection lists it but cannot
  // describe it (grpc/grpc#36665). Naming the descriptor links it.
  static_cast<void>(grpc::health::v1::HealthCheckRequest::descriptor());
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
  for (const std::shared_ptr<grpc::Service>& each : services_) {
    handler_guard_.Install(*each);
    builder.RegisterService(each.get());
  }
  if (options_.authorization != nullptr) {
    options_.authorization->LogTo([this](const std::string& line) { WriteLog(line); });
    options_.authorization->AddMethods(handler_guard_.methods());
  }
  const CallDeadlines::Limits deadlines = {options_.limits.max_deadline,
                                           options_.limits.default_deadline};
  if (deadlines.any()) {
    deadlines_ = std::make_unique<CallDeadlines>(
        deadlines, [this](const std::string& line) { WriteLog(line); },
        // A port that Options::prepare has added may have callers before there is a guard.
        [this](const std::string& peer) {
          if (connection_guard_) connection_guard_->Excuse(peer);
        });
  }
  calls_.Install(builder, options_.interceptors ? options_.interceptors() : InterceptorFactories(),
                 deadlines_.get(), options_.access_log.get());
  server_ = Connections::BuildAndStart(builder, connections_);
  if (server_ == nullptr) return absl::UnavailableError("gRPC could not build the server");
  if (connections_.HasPorts()) {
    server_.reset();
    return absl::InvalidArgumentError(
        "a port was added to the server's builder, and a shutdown cannot close it before its "
        "callers have left: use Options::more_endpoints instead");
  }
  drain_of_connections_.emplace(*server_, listeners_, connections_, calls_, Clock::Steady(),
                                options_.limits.silent_connection_timeout);
  return absl::OkStatus();
}

HandlerGuard::Authorize ServerHost::Authorize() const {
  if (options_.authorization == nullptr) return nullptr;
  return [policy = options_.authorization](const std::string& method,
                                           const grpc::ServerContextBase& context) {
    return policy->Check(method, context);
  };
}

void ServerHost::StartThreads() {
  // Created now: during a shutdown it may be impossible to create a thread.
  shutdown_thread_ = std::thread([this] { ShutDownWhenToldTo(); });
  blocked_threads_.emplace(
      [this] { return RunningCalls(); },
      [this](const std::string& running) { SayThatThreadsAreBlocked(running); },
      options_.blocked_threads);
  const ConnectionLimits& limits = options_.limits;
  connection_guard_.emplace(
      connections_.server_id(),
      ConnectionGuard::Limits{.streams = limits.max_concurrent_streams,
                              .resets = limits.max_resets_per_second,
                              .total_streams = limits.max_calls_in_flight},
      [this](const std::string& peer) {
        for (const auto& listener : listeners_) {
          listener->ResetConnections(
              [&peer](int fd) { return ConnectionGuard::PeerOf(fd) == peer; });
        }
      },
      [this](const std::string& line) { WriteLog(line); },
      [this] { ForEachLog([](LimitLog& log) { log.Flush(); }); });
}

void ServerHost::ForEachLog(const std::function<void(LimitLog&)>& use) {
  use(refused_connections_);
  use(cannot_accept_);
  if (deadlines_) use(deadlines_->log());
  handler_guard_.ForEachLog(use);
  if (options_.authorization != nullptr) options_.authorization->ForEachLog(use);
  if (options_.access_log != nullptr) use(options_.access_log->skipped());
}

void ServerHost::WriteLog(const std::string& line) const {
  if (options_.log) return options_.log(line);
  lifecycle::WriteLastWords({"warning: ", line});
}

std::string ServerHost::address() const {
  return listeners_.empty() ? "" : listeners_.front()->address();
}

absl::Status ServerHost::MayListen() {
  if (server_ == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("the server for ", options_.address,
                                                      " was not started: call its Start() first"));
  }
  return options_.authorization == nullptr ? absl::OkStatus()
                                           : options_.authorization->CheckMethods();
}

absl::Status ServerHost::Listen() {
  for (const auto& each : listeners_) {
    if (absl::Status listens = each->Listen(); !listens.ok()) return listens;
  }
  return WritePortFile();
}

void ServerHost::OpenListener() {
  if (takeover_ != nullptr) {
    // No reason not to serve, and too late for one: the next process cannot bind the addresses and says
    // so. Except where systemd passes it the sockets, too (fd:NAME): it serves beside this one then,
    // which nobody tells to drain.
    if (const absl::Status published = takeover_->Publish(); !published.ok()) {
      WriteLog(absl::StrCat("the next process will not find this one, which then must be stopped ",
                            "by hand: ", published.message()));
    }
  }
  const int max_descriptors = options_.limits.RaiseMaxDescriptors();
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    const auto accept = [&acceptor = *acceptors_[i]](int listener_fd, int fd) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.listener_fd = listener_fd;
      connection.fd = fd;
      acceptor.HandleNewConnection(&connection);
    };
    listeners_[i]->Start(
        accept, max_descriptors, [this] { refused_connections_.Count(); },
        [this](int error) { cannot_accept_.Count(std::generic_category().message(error)); });
  }
  open_ = true;
  if (takeover_ != nullptr) takeover_->Serve(HandsOver());
}

void ServerHost::OnHandover(std::function<void(const std::string& to)> handed_over) {
  handed_over_ = std::move(handed_over);
}

Takeover::Host ServerHost::HandsOver() {
  return {.sockets =
              [this] {
                std::vector<Takeover::Shared> shared;
                const std::vector<std::string> names = HandoverNames(Endpoints());
                for (std::size_t i = 0; i < listeners_.size(); ++i) {
                  shared.push_back({names[i], listeners_[i]->Duplicate()});
                }
                return shared;
              },
          .handed_over =
              [this](const std::string& to) {
                for (const auto& each : listeners_) each->LeaveToSuccessor();
                if (handed_over_) handed_over_(to);
              },
          .log = [this](const std::string& words) { WriteLog(words); }};
}

void ServerHost::EnterLameDuck() {
  calls_.CountByMethod(true);
  calls_.Hint(true);
  server_->GetHealthCheckService()->SetServingStatus(false);
}

void ServerHost::LeaveLameDuck() {
  server_->GetHealthCheckService()->SetServingStatus(true);
  calls_.Hint(false);
  calls_.CountByMethod(false);
}

void ServerHost::CloseListener() {
  calls_.CountByMethod(true);
  calls_.Hint(true);
  if (takeover_ != nullptr) takeover_->Close();
  for (const auto& each : listeners_) {
    if (takeover_ != nullptr && takeover_->has_successor()) each->LeaveFileToSuccessor();
    each->Close();
  }
  takeover_.reset();  // Who asked meanwhile can bind the addresses now.
  open_ = false;
  if (!drain_of_connections_) return;  // KeepCancelling() has left nobody.
  drain_of_connections_->Begin();
  Patience until_sent(Clock::Steady(), kForGoaway, {});
  until_sent.Poll([this] { return drain_of_connections_->Idle(); });
}

void ServerHost::WarnIfCallersWait() {
  std::vector<std::string> where;
  for (const auto& each : listeners_) {
    if (each->shared()) where.push_back(each->address());
  }
  if (where.empty()) return;
  WriteLog(
      absl::StrCat("nobody is refused at ", absl::StrJoin(where, ", "),
                   ": another process, such as systemd, has the socket, too, and who connects ",
                   "waits until a process accepts there"));
}

void ServerHost::SayGoodbye(Patience& patience, int streams) {
  goodbye_.Announce(GoodbyePace(streams, patience.deadline() - patience.clock().Now()), patience);
  calls_.CancelInfrastructure();
}

lifecycle::Traffic::Departure ServerHost::LookAtConnections() {
  const Departure left = drain_of_connections_->Look();
  return left == Departure::kBusy && !GoawaySender::Available() ? Departure::kUnasked : left;
}

bool ServerHost::CloseSilent() { return drain_of_connections_->CloseSilent(); }

void ServerHost::BeginShutdown() {
  std::lock_guard lock(mutex_);
  if (shutdown_ == Shutdown::kNotWanted) shutdown_ = Shutdown::kWanted;
  shutdown_changed_.notify_all();
}

void ServerHost::ShutDownWhenToldTo() {
  std::unique_lock lock(mutex_);
  shutdown_changed_.wait(lock, [this] { return shutdown_ == Shutdown::kWanted; });
  lock.unlock();
  // grpc::Server::Shutdown() does not tell when gRPC begins to refuse calls, and what was accepted
  // before must be waited for. When this returns, it has begun.
  grpc_completion_queue* const queue = grpc_completion_queue_create_for_pluck(nullptr);
  grpc_server_shutdown_and_notify(server_->c_server(), queue, this);
  lock.lock();
  shutdown_ = Shutdown::kBegun;
  lock.unlock();
  // Without a deadline: what gRPC cuts off counts as finished. KeepCancelling() does the
  // cutting.
  server_->Shutdown(OnTheWall(Clock::TimePoint::max()));
  grpc_completion_queue_pluck(queue, this, gpr_inf_future(GPR_CLOCK_MONOTONIC), nullptr);
  grpc_completion_queue_shutdown(queue);
  grpc_completion_queue_destroy(queue);
  lock.lock();
  shutdown_ = Shutdown::kReturned;
}

bool ServerHost::CallsFinished() {
  if (!ShutdownIs(Shutdown::kBegun)) return false;
  drain_of_connections_->RefusesCalls();
  // Even when Shutdown() has returned, an answer may not have left.
  return drain_of_connections_->Look() != Departure::kBusy;
}

bool ServerHost::KeepCancelling() {
  const auto end_of_logs = [](LimitLog& log) { log.End(); };
  const Clock::TimePoint now = Clock::Steady().Now();
  if (!cancelling_) {
    // What is cancelled is not its caller's fault.
    if (connection_guard_) connection_guard_->Stop();
    ForEachLog(end_of_logs);  // If a call does not end, nobody comes to it again.
    drain_of_connections_->LetGo();
    cancelling_ = next_cancel_ = now;
    if (!ShutdownIs(Shutdown::kReturned)) calls_.CancelAll();
  }
  if (!ShutdownIs(Shutdown::kReturned)) {
    if (now < next_cancel_) return false;
    next_cancel_ = now + kCancelInterval;
    // Ends idle, frozen and silent connections too, which Shutdown() would wait
    // for (grpc/grpc: src/core/lib/surface/server.cc, CancelAllCalls).
    grpc_server_cancel_all_calls(server_->c_server());
    if (now - *cancelling_ >= kBeforeCutting) {
      calls_.CutsConnections();
      for (const auto& each : listeners_) each->CutConnections();
    }
    return false;
  }
  if (!drain_of_connections_->Idle()) return false;
  shutdown_thread_.join();
  drain_of_connections_.reset();
  server_.reset();
  ForEachLog(end_of_logs);
  handler_guard_.Stop();  // Another server may guard the services now.
  return true;
}

lifecycle::Traffic::Load ServerHost::Look() const {
  return {.connections = connections_.Count(),
          .calls = calls_.running(),
          .streams = calls_.streams(),
          .hinted = calls_.hinted()};
}

bool ServerHost::Answers() const {
  if (!blocked_threads_ || !blocked_threads_->blocked()) return true;
  // Or none can begin.
  return calls_.running() == 0 && !blocked_threads_->blocked_for_long();
}

int ServerHost::TryCallsRunning() const { return calls_.running(); }

lifecycle::CallTally ServerHost::TryTally() const { return calls_.TryTally(); }

ServerHost::Refusals ServerHost::Refused() const {
  return {.connections = refused_connections_.total(),
          .ended_connections = connection_guard_ ? connection_guard_->ended() : 0,
          .calls = handler_guard_.refused(),
          .overdue_calls = deadlines_ ? deadlines_->ended() : 0,
          .undecodable = handler_guard_.undecodable(),
          .failed_handlers = handler_guard_.failed()};
}

bool ServerHost::ShutdownIs(Shutdown at_least) {
  std::lock_guard lock(mutex_);
  return shutdown_ >= at_least;
}

absl::Status ServerHost::WritePortFile() const {
  if (options_.port_file.empty()) return absl::OkStatus();
  return files::WriteFile(options_.port_file, address() + "\n", files::kForAll);
}

}  // namespace rpc
