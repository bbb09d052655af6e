#include "service/rpc/stream_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"
#include "service/rpc/stream.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/status_details.h"
#include "service/rpc/unary.h"

namespace rpc {
namespace {

using ::probe::Note;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr milliseconds kTick(7);
// Of what is written together.
constexpr std::size_t kMaxBytes = 32 * 1024;

// What the author of a stream sees, and what the test does through it.
struct Script {
  std::function<void()> at_each_call = [] {};
  int news = 0;    // How many messages there are to write.
  int filled = 0;  // How many Next() has filled.
  std::size_t padding = 0;
  bool ticks = false;         // Asks for a timer when there is no news.
  bool timer_wanted = false;  // It has, and none was set.
  bool timer_is_set = false;
  std::vector<std::string> got;
  bool beats = false;
  milliseconds beat_interval{1};
  bool lingers = false;  // Goes on though its caller has sent all.
  std::optional<StreamHandle> handle;
  std::function<void()> on_next = [] {};
  std::function<void()> on_message = [] {};
  std::function<void()> on_read = [] {};
  std::function<void(bool hinted)> on_write = [](bool) {};
  std::function<void()> on_finish = [] {};
  std::function<StreamHold()> hold;
  std::function<void(absl::Status)> end;
  std::function<void(milliseconds)> wake_after;
  std::string token;  // Where to resume, unless it is empty.
  bool destroyed = false;
};

class Scripted final : public BidiStream<Note, Note> {
 public:
  explicit Scripted(Script& script) : script_(script) {
    script_.handle = handle();
    script_.hold = [this] { return Hold(); };
    script_.end = [this](absl::Status status) { End(std::move(status)); };
    script_.wake_after = [this](milliseconds delay) { WakeAfter(delay); };
    if (script_.beats) BeatWhenIdle(script_.beat_interval);
  }
  ~Scripted() override { script_.destroyed = true; }

 private:
  bool Next(Note& message) override {
    script_.at_each_call();
    EXPECT_EQ(message.text(), "");
    script_.on_next();
    if (script_.filled >= script_.news) {
      if (script_.ticks) WakeAfter(kTick);
      if (script_.ticks && !script_.timer_is_set) script_.timer_wanted = true;
      return false;
    }
    message.set_text(std::to_string(++script_.filled) + std::string(script_.padding, ' '));
    return true;
  }
  bool Heartbeat(Note& message) override {
    script_.at_each_call();
    message.set_text("beat");
    return true;
  }
  void OnMessage(Note& message) override {
    script_.at_each_call();
    script_.got.push_back(message.text());
    script_.on_message();
  }
  void OnHalfClose() override {
    script_.at_each_call();
    if (!script_.lingers) BidiStream::OnHalfClose();
  }
  bool CanRead() override {
    script_.at_each_call();
    return BidiStream::CanRead();
  }
  ResumePoint Goodbye() override {
    script_.at_each_call();
    if (!script_.token.empty()) return {"test", {{"resume_token", script_.token}}};
    return {
        "test",
        {{"filled", std::to_string(script_.filled)}, {"got", std::to_string(script_.got.size())}}};
  }

  Script& script_;
};

// A call as gRPC would make it, that does what the test says, and checks that nothing is done
// to it that gRPC does not allow.
class FakeCall final : public StreamOrder::Transport {
 public:
  static std::shared_ptr<FakeCall> Begin(Script& script, const std::stop_token& draining = {}) {
    auto call = std::make_shared<FakeCall>();
    {
      const StreamOrder::Making making(std::weak_ptr<FakeCall>{call});
      call->stream_.emplace(script);
    }
    call->script_ = &script;
    call->self_ = call;
    call->stream_->Begin(*call, draining);
    return call;
  }

  // How much of what is written passes at once, as it does where gRPC only buffers it.
  std::function<bool()> writes_end_at_once = [] { return false; };

  bool writing() const { return writing_; }
  bool reading() const { return reading_; }
  bool over() const { return self_ == nullptr; }
  bool cancelled() const { return cancelled_; }
  const std::vector<std::string>& written() const { return written_; }
  // Those of them that do not wait for others.
  std::vector<std::string> sent() const {
    return {written_.begin(), written_.end() - static_cast<std::ptrdiff_t>(held_back_)};
  }
  std::size_t held_back() const { return held_back_; }
  // How many writes did not wait for others.
  std::size_t flushed() const { return flushed_; }
  const std::optional<absl::Status>& status() const { return status_; }
  std::optional<milliseconds> timer, idle_timer;

  void EndWrite() {
    writing_ = false;
    Post(cancelled_ ? StreamOrder::kWriteFailed : StreamOrder::kWritten);
  }
  void FailWrite() {
    cancelled_ = true;
    EndWrite();
  }
  void Send(const std::string& text) {
    reading_ = false;
    stream_->incoming().set_text(text);
    Post(StreamOrder::kMessage);
  }
  void EndRead(StreamOrder::CallEvent how) {
    reading_ = false;
    ended_reading_ = true;
    Post(how);
  }
  void Cancel() {
    cancelled_ = true;
    Post(StreamOrder::kCancelled);
  }
  void Post(StreamOrder::CallEvent event) { stream_->Post(event); }
  void PassTime() {
    script_->timer_is_set = false;
    Post(StreamOrder::kTimer);
  }
  void PassIdleTime() {
    if (!std::exchange(idle_timer, std::nullopt)) return;
    beat_is_due_ = !wrote_since_idle_;
    Post(StreamOrder::kIdle);
    beat_is_due_ = false;
  }
  // What gRPC does once Finish() was called.
  void EndAll() {
    if (writing_) EndWrite();
    if (reading_) EndRead(StreamOrder::kHalfClosed);
    if (status_) Post(StreamOrder::kDone);
  }

 private:
  void Write(bool hinted) override {
    Expect(!writing_ && !status_, "a write before the last one has ended, or behind the end");
    Expect(!(written_.empty() && hinted), "the first write waits for another");
    const std::string& text = stream_->outgoing().text();
    if (text == "beat") Expect(beat_is_due_, "a heartbeat for a caller who has heard something");
    writing_ = wrote_since_idle_ = true;
    written_.push_back(text.substr(0, text.find(' ')));
    held_back_ = hinted ? held_back_ + 1 : 0;
    held_bytes_ = hinted ? held_bytes_ + text.size() : 0;
    Expect(held_bytes_ <= kMaxBytes, "more is held back than it may");
    flushed_ += hinted ? 0 : 1;
    script_->on_write(hinted);
    if (writes_end_at_once()) EndWrite();
  }
  void Read() override {
    Expect(!reading_ && !status_, "a read before the last one has ended, or behind the end");
    Expect(!ended_reading_, "a read when the caller has sent all");
    Expect(!writing_, "a read while the caller has not got the answer to the last one");
    script_->on_read();
    reading_ = true;
  }
  void Finish(const absl::Status& status) override {
    Expect(!status_, "finished twice");
    script_->on_finish();
    status_ = status;
    held_back_ = 0;
  }
  void SetTimer(milliseconds delay) override {
    Expect(std::exchange(script_->timer_wanted, false), "a timer that nobody has asked for");
    timer = delay;
    script_->timer_is_set = true;
  }
  void SetIdleTimer(milliseconds delay) override {
    wrote_since_idle_ = false;
    idle_timer = delay;
  }
  void Release() override {
    Expect(status_.has_value(), "let go before its end");
    const auto self = std::move(self_);
  }
  // gRPC would end the process.
  static void Expect(bool holds, const char* sentence) { ASSERT_TRUE(holds) << sentence; }

  std::optional<Scripted> stream_;
  Script* script_ = nullptr;
  std::shared_ptr<FakeCall> self_;
  bool writing_ = false;
  bool reading_ = false;
  bool ended_reading_ = false;
  bool cancelled_ = false;
  bool wrote_since_idle_ = false;
  bool beat_is_due_ = false;
  std::vector<std::string> written_;
  std::size_t held_back_ = 0;
  std::size_t held_bytes_ = 0;
  std::size_t flushed_ = 0;
  std::optional<absl::Status> status_;
};

TEST(StreamOrderTest, WritesTheFirstAloneTheRestTogether) {
  Script script;
  script.news = 4;
  const auto call = FakeCall::Begin(script);
  EXPECT_THAT(call->sent(), ElementsAre("1"));
  call->EndWrite();
  EXPECT_THAT(call->written(), ElementsAre("1", "2"));
  EXPECT_THAT(call->sent(), ElementsAre("1"));
  call->EndWrite();
  call->EndWrite();
  EXPECT_THAT(call->sent(), ElementsAre("1", "2", "3", "4"));
  call->EndWrite();
  EXPECT_FALSE(call->writing());
  script.news = 5;
  script.handle->Wake();
  EXPECT_THAT(call->sent(), ElementsAre("1", "2", "3", "4", "5"));
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, HoldsBackABoundedNumberOfBytes) {
  Script script;
  script.news = 1000000;
  const auto call = FakeCall::Begin(script);
  std::size_t most = 0;
  for (int i = 0; i < 50000; ++i) {
    call->EndWrite();
    most = std::max(most, call->held_back());
  }
  EXPECT_GT(most, 1000u);
  EXPECT_LT(most, kMaxBytes);
  EXPECT_LT(call->flushed(), 50u) << "each of them may be as large";
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, FillsOnlyOneMessageAhead) {
  Script script;
  script.news = 100;
  const auto call = FakeCall::Begin(script);
  call->EndWrite();
  for (int i = 0; i < 10; ++i) script.handle->Wake();
  EXPECT_EQ(script.filled, 3);
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, SaysGoodbyeBehindAllThatWasFilled) {
  Script script;
  script.news = 100;
  std::stop_source drain;
  const auto call = FakeCall::Begin(script, drain.get_token());
  call->EndWrite();
  drain.request_stop();
  EXPECT_EQ(call->status(), std::nullopt);
  call->EndWrite();
  ASSERT_TRUE(call->status());
  EXPECT_THAT(call->written(), ElementsAre("1", "2", "3"));
  EXPECT_EQ(Metadata(*call->status(), "filled"), "3");
  call->EndAll();
  EXPECT_TRUE(script.destroyed || call->over());
}

TEST(StreamOrderTest, DuringADrainSaysGoodbyeAfterOneMessage) {
  Script script;
  script.news = 100;
  std::stop_source drain;
  drain.request_stop();
  const auto call = FakeCall::Begin(script, drain.get_token());
  EXPECT_THAT(call->written(), ElementsAre("1"));
  ASSERT_TRUE(call->status());
  EXPECT_EQ(Metadata(*call->status(), "filled"), "1");
  call->EndAll();
}

TEST(StreamOrderTest, TellsGarbageFromAHalfClose) {
  for (const StreamOrder::CallEvent event : {StreamOrder::kHalfClosed, StreamOrder::kUndecodable}) {
    Script script;
    const auto call = FakeCall::Begin(script);
    call->Send("a");
    call->EndRead(event);
    ASSERT_TRUE(call->status());
    if (event == StreamOrder::kHalfClosed) {
      EXPECT_TRUE(call->status()->ok());
    } else {
      EXPECT_TRUE(absl::IsInvalidArgument(*call->status()));
      EXPECT_EQ(Metadata(*call->status(), "got"), "1");
    }
    call->EndAll();
  }
}

TEST(StreamOrderTest, MayGoOnAfterItsCallersHalfClose) {
  Script script;
  script.lingers = true;
  const auto call = FakeCall::Begin(script);
  call->EndRead(StreamOrder::kHalfClosed);
  EXPECT_EQ(call->status(), std::nullopt);
  script.news = 1;
  script.handle->Wake();
  EXPECT_THAT(call->written(), ElementsAre("1"));
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, EndsWhenAWriteFails) {
  Script script;
  script.news = 1;
  const auto call = FakeCall::Begin(script);
  call->FailWrite();
  ASSERT_TRUE(call->status());
  EXPECT_TRUE(absl::IsCancelled(*call->status()));
  call->EndAll();
}

TEST(StreamOrderTest, EndsWithTheFirstStatusItIsGiven) {
  Script script;
  script.on_message = [&] {
    script.end(absl::OutOfRangeError("first"));
    script.end(absl::InternalError("second"));
  };
  const auto call = FakeCall::Begin(script);
  call->Send("a");
  ASSERT_TRUE(call->status());
  EXPECT_TRUE(absl::IsOutOfRange(*call->status()));
  call->EndAll();
}

TEST(StreamOrderTest, AsksAgainWhenItsTimerGoesOff) {
  Script script;
  script.ticks = true;
  const auto call = FakeCall::Begin(script);
  EXPECT_EQ(call->timer, kTick);
  script.ticks = false;
  call->timer.reset();
  script.news = 1;
  call->Post(StreamOrder::kTimer);
  EXPECT_THAT(call->written(), ElementsAre("1"));
  call->EndWrite();
  EXPECT_EQ(call->timer, std::nullopt) << "once for each time that it was asked for";
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, WakesAtTheEarliestOfTheTimesItIsAskedFor) {
  Script script;
  script.ticks = true;
  const auto call = FakeCall::Begin(script);
  EXPECT_EQ(std::exchange(call->timer, std::nullopt), kTick);
  script.on_message = [&] {
    script.timer_wanted = true;
    script.wake_after(kTick / 7);
  };
  call->Send("a");  // Next() asks for kTick again.
  EXPECT_EQ(std::exchange(call->timer, std::nullopt), kTick / 7);
  script.on_message = [] {};
  call->Send("b");
  EXPECT_EQ(call->timer, std::nullopt) << "a later time takes the earlier one's place";
  call->PassTime();
  EXPECT_EQ(call->timer, kTick);
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, TakesTheLongestTimeForNever) {
  constexpr milliseconds kAYear = std::chrono::hours(24 * 365);
  Script script;
  script.beats = true;
  script.beat_interval = milliseconds::max();
  const auto call = FakeCall::Begin(script);
  EXPECT_EQ(call->idle_timer, kAYear);
  script.on_message = [&] {
    script.timer_wanted = true;
    script.wake_after(milliseconds::max());
  };
  call->Send("a");
  EXPECT_EQ(std::exchange(call->timer, std::nullopt), kAYear);
  script.on_message = [&] {
    script.timer_wanted = true;
    script.wake_after(kTick);
  };
  call->Send("b");
  EXPECT_EQ(call->timer, kTick) << "it is sooner";
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, NeitherReadsNorEndsWhileItIsHeld) {
  Script script;
  StreamHold hold;
  script.on_message = [&] { hold = script.hold(); };
  std::stop_source drain;
  const auto call = FakeCall::Begin(script, drain.get_token());
  call->Send("a");
  drain.request_stop();
  call->Cancel();
  EXPECT_FALSE(call->reading());
  EXPECT_EQ(call->status(), std::nullopt);
  bool ran = false;
  script.handle->Run([&] { ran = true; });
  EXPECT_TRUE(ran);
  hold = nullptr;
  ASSERT_TRUE(call->status());
  EXPECT_TRUE(absl::IsCancelled(*call->status()));
  call->EndAll();
}

// In a pool, or in what a backend's answer is passed to. What was lost is not taken for done.
TEST(StreamOrderTest, FailsWhenTheWorkForWhichItIsHeldThrows) {
  using Run = std::function<void(std::function<void()>)>;
  const Run in_a_pool = [](std::function<void()> work) {
    BlockingPool pool(1, 1, [](const absl::Status&) {});
    ASSERT_TRUE(pool.Run(std::move(work)));
  };
  const Run in_a_callback = [](std::function<void()> work) {
    unary_internal::RunOrFail(*GuardedMethod::Current(), work, [&work] { work = nullptr; });
  };
  for (const Run& run : {in_a_pool, in_a_callback}) {
    for (const bool told : {false, true}) {
      Script script;
      std::function<void()> work;
      script.on_message = [&] {
        work = [&script, told, hold = script.hold()] {
          const auto end = [&script] { script.end(absl::AbortedError("not stored")); };
          if (told) script.handle->Run(end);
          throw std::runtime_error("no disk");
        };
      };
      const auto call = FakeCall::Begin(script);
      call->Send("a");
      run(std::exchange(work, nullptr));
      if (call->reading()) call->EndRead(StreamOrder::kHalfClosed);
      ASSERT_TRUE(call->status());
      EXPECT_EQ(call->status()->code(),
                told ? absl::StatusCode::kAborted : absl::StatusCode::kInternal);
      call->EndAll();
    }
  }
}

// A hold that is taken while a read is under way.
TEST(StreamOrderTest, HearsOfAReadOnlyWhenNothingHoldsIt) {
  for (const StreamOrder::CallEvent event : {StreamOrder::kHalfClosed, StreamOrder::kUndecodable}) {
    Script script;
    StreamHold hold;
    const auto call = FakeCall::Begin(script);
    script.handle->Run([&] { hold = script.hold(); });
    call->EndRead(event);
    script.handle->Run([&] { script.end(absl::AbortedError("not stored")); });
    EXPECT_EQ(call->status(), std::nullopt);
    hold = nullptr;
    ASSERT_TRUE(call->status());
    EXPECT_TRUE(absl::IsAborted(*call->status())) << *call->status();
    call->EndAll();
  }
  Script script;
  StreamHold hold;
  const auto call = FakeCall::Begin(script);
  script.handle->Run([&] { hold = script.hold(); });
  call->Send("a");
  EXPECT_THAT(script.got, IsEmpty());
  hold = nullptr;
  EXPECT_THAT(script.got, ElementsAre("a"));
  EXPECT_TRUE(call->reading());
  // All of it in one turn.
  script.handle->Run([&] {
    hold = script.hold();
    call->EndRead(StreamOrder::kHalfClosed);
    script.handle->Run([&] { script.end(absl::AbortedError("not stored")); });
    hold = nullptr;
  });
  ASSERT_TRUE(call->status());
  EXPECT_TRUE(absl::IsAborted(*call->status())) << *call->status();
  call->EndAll();
}

TEST(StreamOrderTest, HearsOfAReadBeforeItsGoodbyeAndNotOfACallerWhoHasGone) {
  for (const bool cancelled : {false, true}) {
    Script script;
    StreamHold hold;
    std::stop_source drain;
    const auto call = FakeCall::Begin(script, drain.get_token());
    script.handle->Run([&] { hold = script.hold(); });
    call->Send("a");
    drain.request_stop();
    if (cancelled) call->Cancel();
    hold = nullptr;
    ASSERT_TRUE(call->status());
    EXPECT_EQ(Metadata(*call->status(), "got"), cancelled ? "" : "1");
    EXPECT_EQ(script.got.size(), cancelled ? 0U : 1U);
    call->EndAll();
  }
}

TEST(StreamOrderTest, TellsInADrainWhatAHoldWaitsFor) {
  Script script;
  StreamHold hold;
  script.on_message = [&] { hold = script.hold(); };
  std::stop_source drain;
  const auto call = FakeCall::Begin(script, drain.get_token());
  call->Send("a");
  drain.request_stop();
  script.handle->Run([&] { script.news = 1; });
  EXPECT_THAT(call->written(), ElementsAre("1"));
  call->EndWrite();
  EXPECT_EQ(call->status(), std::nullopt);
  hold = nullptr;
  // No more is asked for.
  script.news = 2;
  script.handle->Wake();
  ASSERT_TRUE(call->status());
  EXPECT_EQ(Metadata(*call->status(), "filled"), "1");
  EXPECT_EQ(Metadata(*call->status(), "got"), "1");
  call->EndAll();
}

TEST(StreamOrderTest, HearsOfEveryHoldThatGoes) {
  Script script;
  StreamHold hold;
  script.on_message = [&] { hold = script.hold(); };
  const auto call = FakeCall::Begin(script);
  for (int round = 0; round < 5000; ++round) {
    call->Send("a");
    std::jthread releases([&] { hold = nullptr; });
    // Somebody is at work on the stream meanwhile.
    for (int i = 0; i < 200; ++i) script.handle->Wake();
    releases.join();
    ASSERT_TRUE(call->reading()) << "round " << round;
  }
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, AHandleThatIsLeftBehindDoesNothing) {
  Script script;
  {
    const auto call = FakeCall::Begin(script);
    call->Cancel();
    call->EndAll();
  }
  EXPECT_TRUE(script.destroyed);
  script.handle->Wake();
  script.handle->Run([] { FAIL(); });
}

TEST(StreamOrderTest, BeatsOnlyWhenNothingWasWritten) {
  Script script;
  script.beats = true;
  script.news = 1;
  const auto call = FakeCall::Begin(script);
  ASSERT_TRUE(call->idle_timer);
  script.news = 2;
  call->EndWrite();  // Writes 2.
  call->EndWrite();
  call->PassIdleTime();
  EXPECT_THAT(call->written(), ElementsAre("1", "2"));
  call->PassIdleTime();
  EXPECT_THAT(call->written(), ElementsAre("1", "2", "beat"));
  call->EndWrite();
  script.handle->Wake();
  EXPECT_THAT(call->written(), ElementsAre("1", "2", "beat"));
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, AThrowingMethodEndsItWithInternal) {
  Script script;
  script.on_message = [] { throw std::runtime_error("out of luck"); };
  const auto call = FakeCall::Begin(script);
  call->Send("a");
  ASSERT_TRUE(call->status());
  EXPECT_TRUE(absl::IsInternal(*call->status()));
  call->EndAll();
}

// What an operator would be told of a stream's failures.
class Told final : public GuardedMethod {
 public:
  void Threw(const std::string& what) override { failures.push_back(what); }
  void Undecodable() override {}

  std::vector<std::string> failures;
};

TEST(StreamOrderTest, IsItsMethodsInLaterEventsToo) {
  Script script;
  std::shared_ptr<GuardedMethod> current;
  script.on_message = [&] { current = GuardedMethod::Current(); };
  const std::shared_ptr<GuardedMethod> method = std::make_shared<Told>();
  std::shared_ptr<FakeCall> call;
  {
    const GuardedMethod::Running running(method);
    call = FakeCall::Begin(script);
  }
  call->Send("a");
  EXPECT_EQ(current, method);
  EXPECT_NE(GuardedMethod::Current(), method);
  call->Cancel();
  call->EndAll();
}

TEST(StreamOrderTest, SaysThatAResumePointIsTooLarge) {
  for (const bool undecodable : {false, true}) {
    const auto told = std::make_shared<Told>();
    const std::shared_ptr<GuardedMethod> method = told;
    const GuardedMethod::Running running(method);
    for (const std::size_t size : {1800, 2500}) {
      Script script;
      script.token = std::string(size, 'x');
      std::stop_source drain;
      const auto call = FakeCall::Begin(script, drain.get_token());
      EXPECT_THAT(told->failures, IsEmpty());
      if (undecodable) call->EndRead(StreamOrder::kUndecodable);
      drain.request_stop();
      ASSERT_TRUE(call->status());
      const absl::Status seen = FromGrpc(ToGrpc(*call->status()));
      EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(seen).reason(),
                undecodable ? "UNDECODABLE_MESSAGE" : "SERVER_DRAINING");
      EXPECT_EQ(Metadata(seen, "resume_token"), size == 1800 ? script.token : "");
      call->EndAll();
    }
    EXPECT_THAT(told->failures,
                ElementsAre("its resume point of 2516 bytes is too large for a status"));
  }
}

TEST(StreamOrderTest, SaysThatAResumePointIsNotUtf8) {
  const auto told = std::make_shared<Told>();
  const std::shared_ptr<GuardedMethod> method = told;
  const GuardedMethod::Running running(method);
  Script script;
  script.token = "\xff";
  std::stop_source drain;
  const auto call = FakeCall::Begin(script, drain.get_token());
  drain.request_stop();
  ASSERT_TRUE(call->status());
  const absl::Status seen = FromGrpc(ToGrpc(*call->status()));
  EXPECT_EQ(CodeAndReason(seen, "test"), "UNAVAILABLE SERVER_DRAINING");
  EXPECT_EQ(Metadata(seen, "resume_token"), "");
  EXPECT_THAT(told->failures, ElementsAre("its resume point is not UTF-8"));
  call->EndAll();
}

using StreamOrderDeathTest = ::testing::Test;

TEST_F(StreamOrderDeathTest, IsToldOnlyInItsOwnMethods) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Script script;
  const auto call = FakeCall::Begin(script);
  const char* const sentence = "is called in its own methods; elsewhere, in what handle\\(\\).Run";
  EXPECT_DEATH(script.end(absl::OkStatus()), sentence);
  EXPECT_DEATH(script.wake_after(kTick), sentence);
  EXPECT_DEATH(script.hold(), sentence);
  // Nor in another's.
  Script other;
  const auto other_call = FakeCall::Begin(other);
  other.on_message = [&] { EXPECT_DEATH(script.end(absl::OkStatus()), sentence); };
  other_call->Send("a");
  script.handle->Run([&] { script.end(absl::OkStatus()); });
  EXPECT_TRUE(call->status());
  call->EndAll();
  other_call->Cancel();
  other_call->EndAll();
}

TEST_F(StreamOrderDeathTest, IsMadeByItsTransportOnly) {
  Script script;
  EXPECT_DEATH(Scripted{script}, "rpc::Serve");
}

// One call, in which everything happens in an order that the seed gives.
class RandomCall {
 public:
  explicit RandomCall(unsigned seed) : random_(seed) {
    script_.beats = OneIn(4);
    script_.lingers = OneIn(4);
    script_.ticks = OneIn(4);
    if (OneIn(4)) script_.padding = kMaxBytes / 5;
    throws_ = OneIn(4);
    script_.at_each_call = [this] { AtEachCall(); };
    script_.on_next = [this] { OnNext(); };
    script_.on_message = [this] { OnMessage(); };
    script_.on_read = [this] { EXPECT_FALSE(held_) << "a read while the stream is held"; };
    script_.on_finish = [this] { EXPECT_FALSE(at_work_) << "the end while the stream is held"; };
    script_.on_write = [this](bool hinted) { OnWrite(hinted); };
    if (OneIn(8)) drain_.request_stop();
    script_.news = Below(4);
    call_ = FakeCall::Begin(script_, drain_.get_token());
    if (OneIn(2)) call_->writes_end_at_once = [this] { return OneIn(2); };
  }

  void Run() {
    for (int i = 0; i < 60 && !call_->status() && !::testing::Test::HasFailure(); ++i) {
      Step();
      Check();
    }
    End();
  }

 private:
  int Below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }
  bool OneIn(int n) { return Below(n) == 0; }

  void AtEachCall() {
    EXPECT_FALSE(call_ != nullptr && call_->status()) << "a method behind the end";
    EXPECT_FALSE(ended_) << "a method behind End() or a throw";
    if (throws_ && OneIn(20)) {
      Ended(absl::StatusCode::kInternal);
      throw std::runtime_error("at random");
    }
  }

  // Nothing is asked of the stream's author any more.
  void Ended(absl::StatusCode how) {
    ended_ = true;
    Expect(how);
  }
  // Of how the call ends, the first reason counts. Without any it is the drain.
  void Expect(absl::StatusCode how) {
    if (!expected_) expected_ = how;
  }
  bool Ends() const { return expected_ || drain_.stop_requested() || call_->cancelled(); }

  void OnWrite(bool hinted) {
    if (hinted || script_.padding > 0 || call_ == nullptr || call_->written().size() < 2) return;
    EXPECT_TRUE(Ends() || script_.filled == script_.news) << "does not wait for what is at hand";
  }

  // Perhaps while a read is under way.
  void OnNext() {
    if (call_ != nullptr && !held_ && OneIn(20)) WorkElsewhere();
  }

  void OnMessage() {
    EXPECT_FALSE(held_) << "a message while the stream is held";
    const int what = Below(7);
    if (what == 3) {
      // Another thread, which is quicker than this one.
      held_ = true;
      StreamHold hold = script_.hold();
      script_.handle->Run([this] { held_ = false; });
      hold = nullptr;
    } else if (what == 0) {
      WorkElsewhere();
    } else if (what == 1) {
      work_.push_back([this, handle = *script_.handle] {
        handle.Run([this] {
          script_.at_each_call();
          ++script_.news;
        });
      });
    } else if (what == 2 && OneIn(3)) {
      EndIt();
    }
  }

  void WorkElsewhere() {
    held_ = at_work_ = true;
    work_.push_back([this, handle = *script_.handle, hold = script_.hold()]() mutable {
      handle.Run([this] {
        EXPECT_TRUE(held_);
        script_.at_each_call();
        ++script_.news;
        if (OneIn(8)) EndIt();
      });
      held_ = at_work_ = false;
      const auto read = std::exchange(unheard_, nullptr);
      read == nullptr ? hold.reset() : read([&] { hold.reset(); });
    });
  }

  void EndIt() {
    Ended(absl::StatusCode::kOutOfRange);
    script_.end(absl::OutOfRangeError("enough"));
    if (OneIn(2)) script_.end(absl::AbortedError("too late"));
  }

  void EndRead(StreamOrder::CallEvent how) {
    half_closed_ = true;
    const bool heard = held_ || !drain_.stop_requested();
    const auto read = [this, how, heard](const std::function<void()>& hear) {
      if (heard && how == StreamOrder::kUndecodable) Expect(absl::StatusCode::kInvalidArgument);
      hear();
      if (heard && !script_.lingers) Expect(absl::StatusCode::kOk);
    };
    if (!held_) return read([&] { call_->EndRead(how); });
    unheard_ = read;
    call_->EndRead(how);
  }

  void Step() {
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
        if (call_->writing()) OneIn(30) ? call_->FailWrite() : call_->EndWrite();
        break;
      case 3:
      case 4:
        if (call_->reading()) call_->Send(std::to_string(++sent_));
        break;
      case 5:
        if (call_->reading() && OneIn(4)) EndRead(StreamOrder::kHalfClosed);
        break;
      case 6:
        if (call_->reading() && OneIn(4)) EndRead(StreamOrder::kUndecodable);
        break;
      case 7:
        script_.news += Below(4);
        script_.handle->Wake();
        break;
      case 8:
        if (OneIn(6)) drain_.request_stop();
        break;
      case 9:
        if (OneIn(8)) call_->Cancel();
        break;
      case 10:
        WorkOff();
        break;
      default:
        OneIn(2) ? call_->PassIdleTime() : call_->PassTime();
    }
  }

  void WorkOff() {
    if (work_.empty()) return;
    const auto work = std::move(work_.front());
    work_.pop_front();
    work();
  }

  // What holds after each step.
  void Check() {
    if (call_->status()) return CheckEnd();
    if (call_->cancelled()) {
      EXPECT_TRUE(held_) << "not ended though the caller has gone";
      return;
    }
    if (call_->writing()) return;
    EXPECT_EQ(call_->held_back(), 0u) << "a message waits for another one";
    EXPECT_TRUE(held_ || !ended_) << "not ended though nothing is left to be written";
    EXPECT_TRUE(held_ || !drain_.stop_requested()) << "no goodbye";
    EXPECT_TRUE(ended_ || script_.filled == script_.news) << "news that nobody asked for";
    EXPECT_TRUE(held_ || call_->reading() || (script_.lingers && half_closed_))
        << "neither reads, nor ends";
    EXPECT_FALSE(script_.timer_wanted && !ended_) << "no timer, though one was asked for";
  }

  void CheckEnd() {
    const absl::Status& status = *call_->status();
    EXPECT_TRUE(!held_ || ended_);
    EXPECT_EQ(call_->held_back(), 0u);
    for (std::size_t i = 0; i < script_.got.size(); ++i) {
      EXPECT_EQ(script_.got[i], std::to_string(i + 1));
    }
    if (call_->cancelled()) return;
    std::vector<std::string> written;
    for (const std::string& text : call_->written()) {
      if (text != "beat") written.push_back(text);
    }
    std::vector<std::string> filled;
    for (int i = 1; i <= script_.filled; ++i) filled.push_back(std::to_string(i));
    EXPECT_EQ(written, filled) << status;
    EXPECT_EQ(status.code(), expected_.value_or(absl::StatusCode::kUnavailable)) << status;
    // Without Goodbye() when that has thrown.
    if (absl::IsUnavailable(status) || (absl::IsInvalidArgument(status) && !ended_)) {
      EXPECT_EQ(Metadata(status, "filled"), std::to_string(script_.filled));
      EXPECT_EQ(Metadata(status, "got"), std::to_string(script_.got.size()));
    }
  }

  void End() {
    script_.on_next = [] {};
    while (!work_.empty()) WorkOff();
    if (!call_->status() && call_->writing() && OneIn(2)) call_->EndWrite();
    if (!call_->status()) call_->Cancel();
    ASSERT_TRUE(call_->status());
    CheckEnd();
    call_->EndAll();
    EXPECT_TRUE(call_->over());
    call_ = nullptr;
    EXPECT_TRUE(script_.destroyed);
    script_.handle->Wake();
  }

  std::mt19937 random_;
  bool throws_ = false;
  bool ended_ = false;
  bool held_ = false;
  bool at_work_ = false;  // Elsewhere, with a hold.
  bool half_closed_ = false;
  // What the end of a read leads to; it waits for the hold to go.
  std::function<void(const std::function<void()>& hear)> unheard_;
  std::optional<absl::StatusCode> expected_;
  int sent_ = 0;
  std::stop_source drain_;
  std::deque<std::function<void()>> work_;
  Script script_;
  std::shared_ptr<FakeCall> call_;
};

TEST(StreamOrderTest, KeepsItsPromisesInWhateverOrderThingsHappen) {
  for (unsigned seed = 1; seed <= 5000 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomCall(seed).Run();
  }
}

// The same from many threads at once: what counts is that the methods exclude each other, and
// that no event is lost.
TEST(StreamOrderTest, KeepsItsPromisesWhenEverythingHappensAtOnce) {
  constexpr int kNews = 50;
  for (int round = 0; round < 300; ++round) {
    Script script;
    int calls = 0;  // Not atomic: the thread sanitizer sees who does not exclude others.
    script.at_each_call = [&] { ++calls; };
    script.beats = true;
    std::stop_source drain;
    const auto call = FakeCall::Begin(script, drain.get_token());
    call->writes_end_at_once = [] { return true; };
    std::vector<std::jthread> threads;
    threads.emplace_back([&] {
      for (int i = 0; i < kNews; ++i) script.handle->Run([&] { ++script.news; });
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kNews; ++i) script.handle->Wake();
    });
    threads.emplace_back([&] {
      for (int i = 0; i < kNews; ++i) call->Post(StreamOrder::kTimer);
      if (round % 3 == 0) drain.request_stop();
    });
    threads.clear();
    if (round % 3 != 0) {
      EXPECT_EQ(script.filled, kNews);
      drain.request_stop();
    }
    ASSERT_TRUE(call->status());
    EXPECT_EQ(static_cast<int>(call->written().size()), script.filled);
    EXPECT_EQ(Metadata(*call->status(), "filled"), std::to_string(script.filled));
    call->EndAll();
  }
}

// Each thread waits for its own event, so a single one that is lost is seen.
TEST(StreamOrderTest, LosesNoEventAtTheLastMoment) {
  Script script;
  const auto call = FakeCall::Begin(script);
  std::atomic<bool> lost{false};
  const auto ask = [&] {
    for (int i = 0; i < 20000 && !lost; ++i) {
      const auto ran = std::make_shared<std::atomic<bool>>(false);
      script.handle->Run([ran] { *ran = true; });
      const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!*ran && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
      if (!*ran) lost = true;
    }
  };
  {
    const std::jthread one(ask);
    const std::jthread other(ask);
  }
  EXPECT_FALSE(lost);
  call->Cancel();
  call->EndAll();
}

}  // namespace
}  // namespace rpc
