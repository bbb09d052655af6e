#include "service/admin/http_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "service/files/write_file.h"

namespace admin {
namespace {

using lifecycle::Clock;

// How long Close() waits for answers that are on their way, and then for a page that is being made.
constexpr Clock::Duration kForLastAnswers = std::chrono::milliseconds(200);
constexpr Clock::Duration kForLastPage = std::chrono::milliseconds(300);

Clock::TimePoint Now() { return Clock::Steady().Now(); }

HttpResponse RenderOrSayWhy(const HttpServer::Render& render, const HttpRequest& request) {
  try {
    return render(request);
  } catch (const std::exception& error) {
    return {503, absl::StrCat("this page failed: ", error.what(), "\n")};
  } catch (...) {
    return {503, "this page failed: it threw something that is not a std::exception\n"};
  }
}

}  // namespace

struct HttpServer::State {
  struct Job {
    std::int64_t connection;
    Render render;
    HttpRequest request;
  };
  struct Rendered {
    std::int64_t connection;
    HttpResponse response;
  };

  explicit State(HttpLimits limits_in) : limits(limits_in) {}
  ~State() {
    for (const int fd : arrived) close(fd);
    if (wake >= 0) close(wake);
  }

  void Wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake, &one, sizeof one);
  }

  const HttpLimits limits;
  std::map<std::string, Page> pages;  // Constant once it is started.
  int wake = -1;                      // An eventfd, readable when there is news for Loop.

  std::mutex mutex;
  std::condition_variable changed;
  // All below: guarded by mutex.
  std::vector<int> arrived;
  std::deque<Job> jobs;  // At most one for each connection.
  std::vector<Rendered> rendered;
  std::optional<Clock::TimePoint> closing;  // When the last connection is cut.
  bool pages_over = false;
};

// The connections, on their thread.
class HttpServer::Loop {
 public:
  explicit Loop(State& state) : state_(state) {}

  void Run() {
    for (;;) {
      const std::optional<Clock::TimePoint> closing = TakeNews();
      for (const auto& each : connections_) Serve(*each);
      std::erase_if(connections_, [&](const auto& each) { return IsOver(*each, closing); });
      if (closing && connections_.empty()) return;
      Poll(closing);
    }
  }

 private:
  using Connection = HttpConnection;
  using ConnectionState = HttpConnection::State;

  std::optional<Clock::TimePoint> TakeNews() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t read_bytes = read(state_.wake, &count, sizeof count);
    std::lock_guard lock(state_.mutex);
    for (const int fd : state_.arrived) {
      if (connections_.size() >= static_cast<std::size_t>(state_.limits.connections)) {
        TakeBackLocked(*connections_.front());  // The oldest.
        connections_.erase(connections_.begin());
      }
      connections_.push_back(std::make_unique<Connection>(fd, ++ids_, state_.limits, Now()));
    }
    state_.arrived.clear();
    for (const State::Rendered& page : state_.rendered) {
      for (const auto& each : connections_) {
        // It may have been answered already that this takes too long.
        if (each->id() == page.connection && each->state() == ConnectionState::kRendering) {
          each->Answer(page.response, Now());
        }
      }
    }
    state_.rendered.clear();
    return state_.closing;
  }

  void Serve(Connection& connection) {
    if (connection.state() == ConnectionState::kWanted) {
      const auto page = FindPage(connection.request());
      if (page == state_.pages.end()) {
        connection.Answer({404, NoSuchPage()}, Now());
      } else if (page->second.kind == Kind::kNeverBlocks) {
        connection.Answer(RenderOrSayWhy(page->second.render, connection.request()), Now());
      } else {
        Enqueue(connection, page->second.render);
      }
    }
    if (connection.state() == ConnectionState::kRendering && Now() >= connection.deadline()) {
      TakeBack(connection);
      connection.Answer({503, "this page, or one that was asked for before it, takes too long\n"},
                        Now());
    }
  }

  std::map<std::string, Page>::const_iterator FindPage(const HttpRequest& request) const {
    const auto exact = state_.pages.find(absl::StrCat(request.path, "?", request.query));
    return exact != state_.pages.end() ? exact : state_.pages.find(request.path);
  }

  void Enqueue(Connection& connection, const Render& render) {
    connection.OnRendering(Now());
    std::lock_guard lock(state_.mutex);
    state_.jobs.push_back({connection.id(), render, connection.request()});
    state_.changed.notify_all();
  }

  void TakeBack(const Connection& connection) {
    std::lock_guard lock(state_.mutex);
    TakeBackLocked(connection);
  }

  // Requires: the mutex is held.
  void TakeBackLocked(const Connection& connection) {
    std::erase_if(state_.jobs,
                  [&](const State::Job& job) { return job.connection == connection.id(); });
  }

  bool IsOver(const Connection& connection, std::optional<Clock::TimePoint> closing) {
    const ConnectionState state = connection.state();
    const bool idle = state == ConnectionState::kReading || state == ConnectionState::kEnding;
    const bool over = state == ConnectionState::kOver || Now() >= connection.deadline() ||
                      (closing && (idle || Now() >= *closing));
    if (over) TakeBack(connection);  // Whatever the state: kOver may follow kRendering.
    return over;
  }

  std::string NoSuchPage() const {
    std::string text = "there is no such page; there are:\n";
    for (const auto& [path, page] : state_.pages) absl::StrAppend(&text, path, "\n");
    return text;
  }

  void Poll(std::optional<Clock::TimePoint> closing) {
    std::vector<pollfd> fds = {{state_.wake, POLLIN, 0}};
    std::optional<Clock::TimePoint> first = closing;
    for (const auto& each : connections_) {
      fds.push_back({each->fd(), each->events(), 0});
      first = std::min(first.value_or(each->deadline()), each->deadline());
    }
    int timeout = -1;
    if (first) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*first - Now()).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    }
    if (poll(fds.data(), fds.size(), timeout) <= 0) return;
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (fds[i + 1].revents != 0) connections_[i]->OnReady(fds[i + 1].revents, Now());
    }
  }

  State& state_;
  std::int64_t ids_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;  // The oldest first.
};

HttpServer::HttpServer(Options options)
    : options_(std::move(options)), state_(std::make_shared<State>(options_.limits)) {}

HttpServer::~HttpServer() { static_cast<void>(Close()); }

void HttpServer::Add(const std::string& path, Render render, Kind kind) {
  state_->pages[path] = {std::move(render), kind};
}

absl::Status HttpServer::Start(int max_descriptors) {
  auto listener = rpc::Listener::Bind(options_.address);
  if (!listener.ok()) return listener.status();
  if (absl::Status listens = (*listener)->Listen(); !listens.ok()) return listens;
  listener_ = *std::move(listener);
  if (!options_.port_file.empty()) {
    absl::Status written = files::WriteFile(options_.port_file, address() + "\n", files::kForAll);
    if (!written.ok()) return written;
  }
  if (absl::Status started = StartThreads(); !started.ok()) return started;
  listener_->Start(
      [state = state_](int /*listener_fd*/, int fd) {
        std::lock_guard lock(state->mutex);
        state->arrived.push_back(fd);
        state->Wake();
      },
      max_descriptors);
  return absl::OkStatus();
}

absl::Status HttpServer::StartThreads() {
  state_->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state_->wake < 0) {
    return absl::UnavailableError(absl::StrCat("no eventfd: ", std::strerror(errno)));
  }
  try {
    connections_ = std::thread([state = state_] { Loop(*state).Run(); });
    pages_ = std::thread([state = state_] { RenderPages(state); });
  } catch (const std::system_error& error) {
    return absl::UnavailableError(absl::StrCat("no thread for HTTP: ", error.what()));
  }
  return absl::OkStatus();
}

std::string HttpServer::address() const { return listener_ == nullptr ? "" : listener_->address(); }

void HttpServer::RenderPages(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  for (;;) {
    state->changed.wait(lock, [&] { return state->closing || !state->jobs.empty(); });
    if (state->jobs.empty()) break;
    const State::Job job = std::move(state->jobs.front());
    state->jobs.pop_front();
    lock.unlock();
    HttpResponse response = RenderOrSayWhy(job.render, job.request);
    lock.lock();
    state->rendered.push_back({job.connection, std::move(response)});
    state->Wake();
  }
  state->pages_over = true;
  state->changed.notify_all();
}

absl::Status HttpServer::Close() {
  if (listener_ != nullptr) listener_->Close();
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->closing) state_->closing = Now() + kForLastAnswers;
    state_->changed.notify_all();
    if (state_->wake >= 0) state_->Wake();
  }
  if (connections_.joinable()) connections_.join();
  if (!pages_.joinable()) return absl::OkStatus();
  {
    std::unique_lock lock(state_->mutex);
    state_->jobs.clear();
    const bool over =
        state_->changed.wait_for(lock, kForLastPage, [this] { return state_->pages_over; });
    if (!over) {
      pages_.detach();
      return absl::DeadlineExceededError("a page that an operator asked for still blocks");
    }
  }
  pages_.join();
  return absl::OkStatus();
}

}  // namespace admin
