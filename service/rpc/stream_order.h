#ifndef SERVICE_RPC_STREAM_ORDER_H_
#define SERVICE_RPC_STREAM_ORDER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/guarded_method.h"

namespace rpc {

class StreamOrder;

// Where a stream's caller goes on, at this server or another: {"resume_token", ...}.
//
// Requires: it is UTF-8, as all text of a status (Base64 makes that of any bytes), and has no more than
// about 1,800 bytes, since a status has room for no more. Of another one the caller gets only the domain,
// and nothing to resume with; this is logged and counted as if Goodbye() had thrown.
struct ResumePoint {
  std::string domain;  // Of the ErrorInfo that carries it: "orders.v1".
  std::map<std::string, std::string> metadata = {};
};

// How others reach a stream, which may end at any time.
//
// Threads: all methods may be called from any thread, with any lock held that neither the stream's own
// methods nor its destructor take; the stream may do all that it has to before they return.
// Lifetime: may outlive the stream; then the methods do nothing.
class StreamHandle {
 public:
  StreamHandle(StreamOrder& stream, std::weak_ptr<const void> owner)
      : stream_(&stream), owner_(std::move(owner)) {}

  // There may be a next message: the stream asks for it.
  void Wake() const;

  // Runs `turn` as one of the stream's own methods, so at no time at which another one runs.
  // Drops it when the stream has ended.
  void Run(std::function<void()> turn) const;

 private:
  StreamOrder* stream_;
  std::weak_ptr<const void> owner_;
};

// While one of these exists, its stream reads no message and does not end, even if its caller has
// gone, because work elsewhere uses the call or must not be left half done. What a read brings that was
// under way, the caller's half-close too, waits until then, and comes behind what Run() was given. Pass
// the result of that work, its failure too, to StreamHandle::Run() before releasing the hold: a hold
// that just goes means that all went well. Except when the work throws, in a BlockingPool or in what a
// backend's answer is passed to: of a hold whose last copy is among its captures the stream ends with
// INTERNAL, unless it was told to end otherwise. To end it with a resume point, keep the hold in an
// object that tells the failure if it is destroyed untold.
using StreamHold = std::shared_ptr<const void>;

// Orders the operations of a stream: its reads and writes, its goodbye and its end. The classes to
// derive from, which know the types of the messages and gRPC, are in stream.h.
//
// The problem: gRPC's callback API ends the process when a second write or read is started before
// the first has ended, or when anything follows Finish(). Yet the ends of writes and reads, the
// caller's cancellation, the drain and whatever the stream waits for are reported on different
// threads, at any moment.
//
// Each of these is therefore an event, and events are processed one at a time. The thread that
// delivers an event processes it, unless another thread is already processing one; that thread then
// processes the new one as well. No thread waits for a lock.
//
// Guarantees:
//   - the methods to override are called one at a time, never after the end, and with no lock
//     held: they may call all methods of this class
//   - one write and one read at a time; Next() is asked for a message only when the one before the
//     last is written (back-pressure)
//   - a message is held back, to be sent together with the next one, only when Next() has already
//     filled that; the first message never is
//   - Finish() is called once: after everything that Next() has filled, or at once when the caller
//     has gone
//   - in a drain, no more messages are read, and the stream ends with Goodbye(), as soon as no hold
//     exists. Until then Next() is asked on: what a hold waits for may be the answer to a message that
//     was read. Goodbye() covers everything that was filled
//   - a message that cannot be parsed: INVALID_ARGUMENT, with Goodbye()'s resume point
//   - a method that throws: INTERNAL, and a line in the log; INTERNAL, too, when work throws for which
//     the stream is held (StreamHold)
class StreamOrder {
 public:
  // What a stream does to its call. Never called by two threads at a time.
  class Transport {
   public:
    virtual ~Transport() = default;

    // Writes the message that Take() was called for; ends with kWritten or kWriteFailed.
    // `hinted`: it may be sent together with the next one.
    virtual void Write(bool hinted) = 0;
    // Reads one; ends with kMessage, kHalfClosed or kUndecodable.
    virtual void Read() = 0;
    // Ends the call: kDone comes when nothing else does any more.
    virtual void Finish(const absl::Status& status) = 0;
    // kTimer comes after `delay`, and not for what was set before.
    virtual void SetTimer(std::chrono::milliseconds delay) = 0;
    // As SetTimer(), for kIdle.
    virtual void SetIdleTimer(std::chrono::milliseconds delay) = 0;
    // The last that is called: the stream may be destroyed.
    virtual void Release() = 0;
  };

  enum CallEvent : unsigned {
    kWritten = 1u << 0,
    kWriteFailed = 1u << 1,
    kMessage = 1u << 2,
    kHalfClosed = 1u << 3,
    kUndecodable = 1u << 4,
    kWake = 1u << 5,
    kTask = 1u << 6,
    kTimer = 1u << 7,
    kIdle = 1u << 8,
    kDrain = 1u << 9,
    kCancelled = 1u << 10,
    kDone = 1u << 11,
  };

  StreamOrder(const StreamOrder&) = delete;
  StreamOrder& operator=(const StreamOrder&) = delete;
  virtual ~StreamOrder();

  // For transports: while it lives, this thread constructs a stream, which `owner` owns.
  class Making {
   public:
    explicit Making(std::weak_ptr<const void> owner);
    ~Making();
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;

   private:
    const std::weak_ptr<const void> owner_;
    const StreamOrder* const outer_;
  };

  // For transports: begins, and says goodbye when a stop is requested of `draining`. When
  // that has come before, then after the first message.
  void Begin(Transport& transport, const std::stop_token& draining);

  // For transports: it has happened.
  void Post(CallEvent event);

 protected:
  // `writes`, `reads`: which of the two the method is a stream of.
  StreamOrder(bool writes, bool reads);

  // What the author of a stream calls. Requires: in the stream's methods, its constructor included,
  // or in what StreamHandle::Run() runs.

  StreamHandle handle() { return {*this, owner_}; }
  // Not in the constructor.
  [[nodiscard]] StreamHold Hold();

  // Ends the stream when what was filled is written. The first call decides.
  void End(absl::Status status);

  // The same for a raw method's request that cannot be parsed: INVALID_ARGUMENT, counted.
  void EndUndecodable();

  // Asks for the next message then, at the latest: an earlier time stays.
  void WakeAfter(std::chrono::milliseconds delay);

  // When nothing was written for about that long, Heartbeat() is asked for a message.
  // In the constructor only.
  void BeatWhenIdle(std::chrono::milliseconds interval) {
    idle_ = lifecycle::AtMostAYear(interval);
  }

  // Whether a message is on its way to the caller.
  bool writing() const { return writing_ || filled_; }
  bool ended() const { return status_.has_value(); }

 private:
  friend class StreamHandle;

  // What stream.h makes of the author's methods.
  // Fills the next message. False: there is none yet.
  virtual bool Fill() = 0;
  virtual bool FillHeartbeat() = 0;
  // The message that was filled last is about to be written, and another one may be filled
  // meanwhile. Returns its size in bytes.
  virtual std::size_t Take() = 0;
  virtual void Receive() = 0;
  virtual void OnHalfClose() = 0;
  virtual bool CanRead() = 0;
  virtual ResumePoint Goodbye() = 0;

  void PostTask(std::function<void()> task);
  // Works events off until there is none.
  void Work();
  void Turn(unsigned events);
  void TakeIn(unsigned events);
  void TakeInRead();
  // Goodbye()'s resume point, or as much of it as a status has room for.
  ResumePoint Here();
  // Adds it to the status.
  void TellWhere();
  void RunTasks();
  void DecideEnd();
  void WriteNext();
  bool FillNext();
  bool FillBeat();
  // Whether so many bytes more may be held back.
  bool MayHoldBack(std::size_t bytes);
  void ReadNext();
  void SetTimers(unsigned events);
  void FinishIfDone();
  // As End(), which the author calls.
  void Settle(absl::Status status);
  // Runs a method of the author's.
  template <typename Method>
  void Try(Method method);
  void RequireOwnMethod(const char* what) const;

  struct OnDrain {
    StreamOrder& stream;
    void operator()() const { stream.Post(kDrain); }
  };

  const std::weak_ptr<const void> owner_;
  const std::shared_ptr<GuardedMethod> method_ = GuardedMethod::Current();
  const std::optional<Trace> trace_ = Trace::Current();
  const bool writes_;
  const bool reads_;

  // Events that nobody has worked off, and whether somebody is at it: in the beginning,
  // whoever makes the stream.
  std::atomic<unsigned> pending_;
  std::atomic<int> holds_{0};
  std::mutex tasks_mutex_;
  std::vector<std::function<void()>> tasks_;  // Guarded by tasks_mutex_.

  // All of this belongs to the thread that works events off.
  Transport* transport_ = nullptr;
  std::optional<absl::Status> status_;  // Set: nothing more is asked of the author.
  bool finished_ = false;
  bool writing_ = false;
  bool wrote_ = false;        // Ever.
  bool wrote_since_ = false;  // The idle timer was set.
  bool idle_timer_is_set_ = false;
  bool beat_is_due_ = false;
  bool filled_ = false;  // A message that is not being written yet.
  bool reading_ = false;
  unsigned read_ = 0;  // How a read has ended, if the author does not know it yet.
  bool half_closed_ = false;
  bool draining_ = false;
  bool cancelled_ = false;
  bool held_ = false;  // In this turn; what was told before a hold went is among its events.
  std::size_t hinted_bytes_ = 0;
  std::chrono::milliseconds idle_{0};                             // 0: no heartbeat.
  std::optional<std::chrono::milliseconds> wake_after_;           // No timer is set for it yet.
  std::optional<std::chrono::steady_clock::time_point> wake_at_;  // Until it has come.
  std::optional<std::stop_callback<OnDrain>> on_drain_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_STREAM_ORDER_H_
