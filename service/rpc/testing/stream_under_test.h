#ifndef SERVICE_RPC_TESTING_STREAM_UNDER_TEST_H_
#define SERVICE_RPC_TESTING_STREAM_UNDER_TEST_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/rpc/stream.h"

namespace rpc {
namespace stream_internal {

// What a stream writes; of a ClientStream, which writes nothing, what it reads.
template <typename Stream>
struct WrittenBy {
  using Message = typename Stream::Request;
};
template <typename Stream>
requires requires { typename Stream::Response; }
struct WrittenBy<Stream> {
  using Message = typename Stream::Response;
};

}  // namespace stream_internal

// A stream of any kind without a server: its caller reads and sends as fast as the test wants, and its
// time passes when the test says so.
//
// Threads: all methods may be called from any thread.
template <typename Stream>
class StreamUnderTest {
 public:
  using Message = typename stream_internal::WrittenBy<Stream>::Message;

  template <typename... Arguments>
  explicit StreamUnderTest(Arguments&&... arguments) : call_(std::make_shared<Call>()) {
    {
      const StreamOrder::Making making(std::weak_ptr<Call>{call_});
      call_->stream.emplace(std::forward<Arguments>(arguments)...);
    }
    call_->stream->Begin(*call_, call_->drain.get_token());
  }
  // The caller leaves.
  ~StreamUnderTest() {
    call_->stream->Post(StreamOrder::kCancelled);
    call_->Await([this] { return call_->status.has_value(); });
    call_->stream->Post(StreamOrder::kDone);
  }

  // Reads so many more, when they come.
  void Read(std::size_t messages) { call_->Read(messages); }
  // These four: whether the stream asks for it in time.
  //
  // The caller sends one.
  template <typename Request>
  bool Send(const Request& message) {
    if (!call_->Take(call_->reads)) return false;
    call_->stream->incoming() = message;
    call_->stream->Post(StreamOrder::kMessage);
    return true;
  }
  // The caller has sent all.
  bool HalfClose() { return call_->PostIf(call_->reads, StreamOrder::kHalfClosed); }
  // The time is over that WakeAfter() was given.
  bool PassTime() { return call_->PostIf(call_->has_timer, StreamOrder::kTimer); }
  // That of BeatWhenIdle().
  bool PassIdleTime() { return call_->PostIf(call_->has_idle_timer, StreamOrder::kIdle); }

  void Drain() { call_->drain.request_stop(); }

  // Whether so many are written in time.
  bool AwaitWritten(std::size_t messages) {
    return call_->Await([&] { return call_->written.size() >= messages; });
  }
  std::vector<Message> written() {
    std::lock_guard lock(call_->mutex);
    return call_->written;
  }
  // How it ends; unset: not in time.
  std::optional<absl::Status> AwaitEnd() {
    call_->Await([this] { return call_->status.has_value(); });
    std::lock_guard lock(call_->mutex);
    return call_->status;
  }

 private:
  struct Call final : StreamOrder::Transport {
    void Write(bool /*hinted*/) override {
      std::lock_guard lock(mutex);
      if constexpr (requires { stream->outgoing(); }) written.push_back(stream->outgoing());
      changed.notify_all();
      unread = true;
      // Taken up when this turn is over.
      if (Passes()) stream->Post(StreamOrder::kWritten);
    }
    void Read() override { Ask(reads); }
    void Finish(const absl::Status& how) override {
      std::lock_guard lock(mutex);
      status = how;
      changed.notify_all();
    }
    void SetTimer(std::chrono::milliseconds) override { Ask(has_timer); }
    void SetIdleTimer(std::chrono::milliseconds) override { Ask(has_idle_timer); }
    void Release() override {}

    void Read(std::size_t messages) {
      bool passes = false;
      {
        std::lock_guard lock(mutex);
        wanted += messages;
        passes = Passes();
      }
      if (passes) stream->Post(StreamOrder::kWritten);
    }
    // Whether the message that is being written is read now. Requires: mutex.
    bool Passes() {
      if (!unread || wanted == 0) return false;
      unread = false;
      --wanted;
      return true;
    }
    void Ask(bool& asked) {
      std::lock_guard lock(mutex);
      asked = true;
      changed.notify_all();
    }
    // Whether it was asked for in time.
    bool Take(bool& asked) {
      if (!Await([&asked] { return asked; })) return false;
      std::lock_guard lock(mutex);
      return std::exchange(asked, false);
    }
    bool PostIf(bool& asked, StreamOrder::CallEvent event) {
      if (!Take(asked)) return false;
      stream->Post(event);
      return true;
    }
    template <typename Condition>
    bool Await(Condition so) {
      const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      std::unique_lock lock(mutex);
      return changed.wait_until(lock, limit, so);
    }

    std::stop_source drain;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Message> written;        // Guarded by mutex.
    std::optional<absl::Status> status;  // Guarded by mutex.
    std::size_t wanted = 0;              // Guarded by mutex.
    bool unread = false;                 // Guarded by mutex.
    bool reads = false;                  // Guarded by mutex.
    bool has_timer = false;              // Guarded by mutex.
    bool has_idle_timer = false;         // Guarded by mutex.
    std::optional<Stream> stream;
  };

  const std::shared_ptr<Call> call_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_STREAM_UNDER_TEST_H_
