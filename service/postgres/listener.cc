#include "service/postgres/listener.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/postgres/pool.h"

namespace postgres {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kConnectTimeout{5000};
// How often a connection that says nothing is tried out.
constexpr milliseconds kSilence{10'000};

}  // namespace

struct Listener::State {
  State(const Url& url, const std::string& channel, std::function<void()> on_news)
      : url(url), channel(channel), on_news(std::move(on_news)) {}

  const Url url;
  const std::string channel;
  std::stop_source stop;
  std::mutex mutex;
  std::condition_variable_any never;
  std::function<void()> on_news;  // Guarded by mutex; empty once it is closed.

  void Tell() {
    std::lock_guard lock(mutex);
    if (on_news) on_news();
  }

  void Pause(Clock::duration duration) {
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop.get_token(), duration, [] { return false; });
  }

  // Returns when the connection is lost. False: there was none.
  bool Listen() {
    auto connection = Connection::Open(url, stop.get_token(), Clock::now() + kConnectTimeout);
    if (!connection.ok()) return false;
    if (!(*connection)->RunScript("LISTEN " + channel, Clock::now() + kConnectTimeout).ok()) {
      return false;
    }
    for (;;) {
      Tell();
      absl::StatusOr<bool> notified = false;
      while (notified.ok() && !*notified) {
        notified = (*connection)->AwaitNotification(Clock::now() + kSilence);
        if (!notified.ok() || *notified) break;
        const absl::Status alive =
            (*connection)->Query(Statement("SELECT 1"), Clock::now() + kConnectTimeout).status();
        if (!alive.ok()) notified = alive;
      }
      if (!notified.ok()) break;
    }
    Tell();
    return true;
  }

  void Run() {
    milliseconds backoff{0};
    while (!stop.stop_requested()) {
      backoff = Listen() ? Pool::kMinBackoff
                         : std::clamp(2 * backoff, Pool::kMinBackoff, Pool::kMaxBackoff);
      Pause(backoff);
    }
  }
};

Listener::Listener(const Url& url, const std::string& channel, std::function<void()> on_news)
    : state_(std::make_shared<State>(url, channel, std::move(on_news))),
      thread_([state = state_] { state->Run(); }) {}

Listener::~Listener() { Close(Clock::now()).IgnoreError(); }

absl::Status Listener::Close(TimePoint deadline) {
  state_->stop.request_stop();
  {
    std::lock_guard lock(state_->mutex);
    state_->on_news = nullptr;
  }
  if (thread_.Await(deadline)) return absl::OkStatus();
  return absl::DeadlineExceededError("database: the listener still asks for the server's address");
}

}  // namespace postgres
