#include "service/rpc/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/handler_guard.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/status_details.h"
#include "service/rpc/testing/stream_under_test.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGarbage[] = "\xff\xff\xff";

std::atomic<int> alive{0};
struct Counted {
  Counted() { ++alive; }
  ~Counted() { --alive; }
};

// Counts up to what it is asked for, or for ever: "all"; slowly: "ticks"; or only shows
// that it lives: "beats"; or says nothing: "silence"; or nothing more for an hour: "later".
class Counting final : public ServerStream<Note> {
 public:
  explicit Counting(const Note& request) : what_(request.text()) {
    if (what_ == "refused") End(absl::FailedPreconditionError("no"));
    if (what_ == "beats") BeatWhenIdle(milliseconds(1));
    if (what_ == "later") BeatWhenIdle(std::chrono::hours(1));
  }

 private:
  bool Next(Note& message) override {
    if (what_ == "throws") throw std::runtime_error("no more\nnumbers");
    if (what_ == "beats" || what_ == "silence") return false;
    if (what_ == "ticks" && !std::exchange(waited_, true)) {
      WakeAfter(milliseconds(1));
      return false;
    }
    waited_ = false;
    if (what_ == "later" && number_ == 1) {
      WakeAfter(std::chrono::hours(1));
      return false;
    }
    if (what_ == std::to_string(number_)) End(absl::OkStatus());
    if (ended()) return false;
    message.set_text(std::to_string(++number_));
    return true;
  }
  bool Heartbeat(Note& message) override {
    message.set_text("beat");
    return true;
  }
  ResumePoint Goodbye() override { return {"probe", {{"at", std::to_string(number_)}}}; }

  const Counted counted_;
  const std::string what_;
  bool waited_ = false;
  int number_ = 0;
};

// Sends every note back, behind how many there were.
class Echoing final : public BidiStream<Note, Note> {
  bool Next(Note& message) override {
    if (waiting_.empty()) return false;
    message.set_text(std::exchange(waiting_, ""));
    return true;
  }
  void OnMessage(Note& message) override {
    if (message.text() == "throw") throw std::runtime_error("no");
    waiting_ = std::to_string(++count_) + message.text();
  }
  ResumePoint Goodbye() override { return {"probe", {{"at", std::to_string(count_)}}}; }

  const Counted counted_;
  std::string waiting_;
  int count_ = 0;
};

std::atomic<int> uploads_begun{0}, uploads_ended{0};

// Takes notes without a word, and says when it is told that these are all.
class Uploading final : public ClientStream<Note> {
 public:
  ~Uploading() override { ++uploads_ended; }

 private:
  void OnMessage(Note&) override { ++uploads_begun; }
  void OnAllSent() override { ADD_FAILURE() << "a part of an upload is taken for all of it"; }
  ResumePoint Goodbye() override { return {"probe"}; }

  const Counted counted_;
};

// As Uploading, of a caller who is answered.
class Dictating final : public BidiStream<Note, Note> {
 public:
  ~Dictating() override { ++uploads_ended; }

 private:
  bool Next(Note&) override { return std::exchange(answers_, 0) > 0; }
  void OnMessage(Note&) override {
    ++uploads_begun;
    ++answers_;
    ++got_;
  }
  void OnHalfClose() override {
    ADD_FAILURE() << "a part of an upload is taken for all of it, after " << got_ << " messages";
  }
  ResumePoint Goodbye() override { return {"probe"}; }

  const Counted counted_;
  int answers_ = 0;
  int got_ = 0;
};

// Its messages are empty, and not there.
class Empty final : public ServerStream<grpc::ByteBuffer> {
  bool Next(grpc::ByteBuffer&) override {
    if (++number_ > 3) End(absl::OkStatus());
    return !ended();
  }
  ResumePoint Goodbye() override { return {"probe"}; }

  int number_ = 0;
};

// Puts all notes together, each on a thread of its own.
class Gathering final : public ClientStream<Note> {
 public:
  explicit Gathering(Note& response) : response_(response) {}

 private:
  void OnMessage(Note& message) override {
    std::thread([this, &message, handle = handle(), hold = Hold()]() mutable {
      handle.Run([this, &message] {
        text_ += message.text();
        ++count_;
      });
      hold = nullptr;
    }).detach();
  }
  // Elsewhere, too.
  void OnAllSent() override {
    std::thread([this, handle = handle(), hold = Hold()]() mutable {
      handle.Run([this] {
        if (text_ == "refused") return End(absl::FailedPreconditionError("no"));
        response_.set_text(text_);
      });
      hold = nullptr;
    }).detach();
  }
  ResumePoint Goodbye() override { return {"probe", {{"at", std::to_string(count_)}}}; }

  const Counted counted_;
  Note& response_;
  std::string text_;
  int count_ = 0;
};

class Streams final : public Probe::CallbackService {
  grpc::ServerWriteReactor<Note>* Watch(grpc::CallbackServerContext*,
                                        const Note* request) override {
    return Serve<Counting>(*request);
  }
  grpc::ServerReadReactor<Note>* Gather(grpc::CallbackServerContext*, Note* response) override {
    if (uploads) return Serve<Uploading>();
    return Serve<Gathering>(*response);
  }
  grpc::ServerBidiReactor<Note, Note>* Chat(grpc::CallbackServerContext*) override {
    if (uploads) return Serve<Dictating>();
    return Serve<Echoing>();
  }

 public:
  std::atomic<bool> uploads{false};
};

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    guard_.Install(service_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    channel_ = NewConnection("127.0.0.1:" + std::to_string(port));
    stub_ = Probe::NewStub(channel_);
  }
  ~StreamTest() override {
    EndServer();
    EXPECT_TRUE(testkit::Eventually([] { return alive == 0; })) << "streams are left over";
  }

  void EndServer() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_ = nullptr;
  }

  struct Watching {
    Watching(Probe::Stub& stub, const std::string& what) {
      Note request;
      request.set_text(what);
      reader = stub.Watch(context.get(), request);
    }
    std::string Next() {
      Note note;
      return reader->Read(&note) ? note.text() : "end";
    }
    absl::Status End() { return FromGrpc(reader->Finish()); }

    const std::unique_ptr<grpc::ClientContext> context = Bounded();
    std::unique_ptr<grpc::ClientReader<Note>> reader;
  };
  std::unique_ptr<Watching> Watch(const std::string& what) {
    return std::make_unique<Watching>(*stub_, what);
  }

  // The status of a call whose messages are `bytes`, each answered but the last.
  absl::Status Send(const std::string& method, const std::vector<std::string>& bytes) {
    RawStream stream(channel_, "/probe.Probe/" + method);
    for (const std::string& message : bytes) stream.Ask(message);
    return FromGrpc(stream.AwaitEnd());
  }

  std::mutex mutex_;
  std::string line_;           // Guarded by mutex_.
  std::vector<int> statuses_;  // Guarded by mutex_.
  Streams service_;
  GoodbyeSignal goodbye_;
  HandlerGuard guard_{[] { return false; },
                      [this](const std::string& line) {
                        std::lock_guard lock(mutex_);
                        line_ = line;
                      },
                      [this](const void*, int status) {
                        std::lock_guard lock(mutex_);
                        statuses_.push_back(status);
                      },
                      /*authorize=*/{}, &goodbye_};
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Probe::Stub> stub_;
};

TEST_F(StreamTest, WritesEverythingInOrderAndEndsBehindIt) {
  constexpr int kMessages = 20000;
  const auto watching = Watch(std::to_string(kMessages));
  for (int i = 1; i <= kMessages; ++i) ASSERT_EQ(watching->Next(), std::to_string(i));
  EXPECT_EQ(watching->Next(), "end");
  EXPECT_TRUE(watching->End().ok());
}

TEST_F(StreamTest, HoldsTheLastMessageBackForNobody) {
  const auto watching = Watch("ticks");
  for (int i = 1; i <= 20; ++i) ASSERT_EQ(watching->Next(), std::to_string(i));
  watching->context->TryCancel();
}

TEST_F(StreamTest, BeatsForACallerWhoHearsNothingElse) {
  const auto watching = Watch("beats");
  for (int i = 0; i < 5; ++i) ASSERT_EQ(watching->Next(), "beat");
  watching->context->TryCancel();
}

// What it refers to may go next.
TEST_F(StreamTest, IsGoneWhenItsServerIsThoughItsTimersAreSet) {
  std::vector<std::unique_ptr<Watching>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(Watch("later"));
    ASSERT_EQ(all.back()->Next(), "1");
  }
  EndServer();
  EXPECT_EQ(alive, 0);
}

TEST_F(StreamTest, MayEndBeforeItBegins) {
  const auto watching = Watch("refused");
  EXPECT_EQ(watching->Next(), "end");
  EXPECT_TRUE(absl::IsFailedPrecondition(watching->End()));
}

TEST_F(StreamTest, SaysGoodbyeWithItsCallersPosition) {
  std::vector<std::jthread> callers;
  std::atomic<int> reached{0};
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, &reached] {
      const auto watching = Watch("all");
      int number = 0;
      for (std::string text = watching->Next(); text != "end"; text = watching->Next()) {
        EXPECT_EQ(text, std::to_string(++number));
        if (number == 3000) ++reached;
      }
      const absl::Status status = watching->End();
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_EQ(Metadata(status, "at"), std::to_string(number));
    });
  }
  EXPECT_TRUE(testkit::Eventually([&] { return reached == 8; }));
  goodbye_.Announce();
}

TEST_F(StreamTest, EndsThoughItsCallerReadsNothing) {
  const auto watching = Watch("all");
  ASSERT_EQ(watching->Next(), "1");
  goodbye_.Announce();
  watching->context->TryCancel();
  EXPECT_TRUE(testkit::Eventually([] { return alive == 0; }));
}

TEST_F(StreamTest, EndsWhenASilentStreamsCallerLeaves) {
  const auto watching = Watch("silence");
  ASSERT_TRUE(testkit::Eventually([] { return alive == 1; }));
  watching->context->TryCancel();
  EXPECT_TRUE(testkit::Eventually([] { return alive == 0; }));
}

TEST_F(StreamTest, ReportsItsStatusOnce) {
  const auto watching = Watch("1");
  EXPECT_EQ(watching->Next(), "1");
  EXPECT_EQ(watching->Next(), "end");
  EXPECT_EQ(Watch("refused")->Next(), "end");
  std::lock_guard lock(mutex_);
  EXPECT_THAT(statuses_, ElementsAre(grpc::OK, grpc::FAILED_PRECONDITION));
}

TEST_F(StreamTest, AnswersEachMessageThenEndsWithItsCaller) {
  const auto context = Bounded();
  const auto chat = stub_->Chat(context.get());
  Note note;
  for (int i = 1; i <= 1000; ++i) {
    note.set_text("!");
    ASSERT_TRUE(chat->Write(note));
    ASSERT_TRUE(chat->Read(&note));
    ASSERT_EQ(note.text(), std::to_string(i) + "!");
  }
  chat->WritesDone();
  EXPECT_FALSE(chat->Read(&note));
  EXPECT_TRUE(chat->Finish().ok());
}

TEST_F(StreamTest, RefusesGarbageOnlyToItsSender) {
  const absl::Status chat = Send("Chat", {"", "", kGarbage});
  EXPECT_TRUE(absl::IsInvalidArgument(chat)) << chat;
  EXPECT_EQ(Metadata(chat, "at"), "2");
  EXPECT_EQ(guard_.undecodable(), 1);
  const absl::Status gather = Send("Gather", {kGarbage});
  EXPECT_TRUE(absl::IsInvalidArgument(gather)) << gather;
  EXPECT_EQ(Metadata(gather, "at"), "0");
  EXPECT_EQ(guard_.undecodable(), 2);
}

TEST_F(StreamTest, GathersWhatIsWorkedOnElsewhere) {
  const auto context = Bounded();
  Note response;
  const auto writer = stub_->Gather(context.get(), &response);
  std::string all;
  Note note;
  for (int i = 0; i < 100; ++i) {
    note.set_text(std::to_string(i));
    all += note.text();
    ASSERT_TRUE(writer->Write(note));
  }
  writer->WritesDone();
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_EQ(response.text(), all);
}

TEST_F(StreamTest, EndsAsWhatItHasStoredElsewhereEnds) {
  const auto context = Bounded();
  Note note, response;
  const auto writer = stub_->Gather(context.get(), &response);
  note.set_text("refused");
  ASSERT_TRUE(writer->Write(note));
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::FAILED_PRECONDITION);
}

// gRPC tells of all of these as of a half-close, and of the failure only later.
TEST_F(StreamTest, TakesNoPartOfAnUploadForAllOfIt) {
  constexpr int kRounds = 200, kTooLarge = 20;
  service_.uploads = true;
  Note note;
  note.set_text("a");
  for (int i = 0; i < kRounds; ++i) {
    const auto context = Bounded();
    Note response;
    const auto upload = stub_->Gather(context.get(), &response);
    ASSERT_TRUE(upload->Write(note));
    const auto other_context = Bounded();
    const auto dictation = stub_->Chat(other_context.get());
    ASSERT_TRUE(dictation->Write(note));
    ASSERT_TRUE(dictation->Read(&response));
    ASSERT_TRUE(testkit::Eventually([&] { return uploads_begun == 2 * (i + 1); }));
    context->TryCancel();
    other_context->TryCancel();
    EXPECT_EQ(upload->Finish().error_code(), grpc::CANCELLED);
    EXPECT_EQ(dictation->Finish().error_code(), grpc::CANCELLED);
  }
  note.set_text(std::string(5 << 20, 'a'));  // Larger than gRPC takes.
  for (int i = 0; i < kTooLarge; ++i) {
    const auto context = Bounded();
    Note response;
    const auto upload = stub_->Gather(context.get(), &response);
    upload->Write(note);
    EXPECT_EQ(upload->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
    const auto other_context = Bounded();
    const auto dictation = stub_->Chat(other_context.get());
    dictation->Write(note);
    EXPECT_EQ(dictation->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
  }
  Note response;
  const auto last_context = Bounded();
  const auto last = stub_->Gather(last_context.get(), &response);
  last->Write(Note());
  ASSERT_TRUE(testkit::Eventually([&] { return uploads_begun == 2 * kRounds + 1; }));
  server_->Shutdown(std::chrono::system_clock::now());
  EXPECT_FALSE(last->Finish().ok());
  EXPECT_TRUE(testkit::Eventually([&] { return uploads_ended == 2 * (kRounds + kTooLarge) + 1; }));
}

TEST(RawStreamTest, MayWriteWhatIsEmpty) {
  StreamUnderTest<Empty> call;
  call.Read(3);
  EXPECT_EQ(call.AwaitEnd(), absl::OkStatus());
  ASSERT_EQ(call.written().size(), 3U);
  for (const grpc::ByteBuffer& message : call.written()) EXPECT_TRUE(message.Valid());
}

TEST_F(StreamTest, IsTestedWithoutAServerThoughItOnlyReads) {
  Note note, response;
  StreamUnderTest<Gathering> call(response);
  for (const char* text : {"a", "b"}) {
    note.set_text(text);
    ASSERT_TRUE(call.Send(note));
  }
  ASSERT_TRUE(call.HalfClose());
  EXPECT_EQ(call.AwaitEnd(), absl::OkStatus());
  EXPECT_EQ(response.text(), "ab");
}

TEST_F(StreamTest, IsTestedWithoutWaitingForItsTimers) {
  Note request;
  request.set_text("ticks");
  StreamUnderTest<Counting> ticking(request);
  ticking.Read(2);
  EXPECT_TRUE(ticking.written().empty());
  ASSERT_TRUE(ticking.PassTime());
  EXPECT_TRUE(ticking.AwaitWritten(1));
  ASSERT_TRUE(ticking.PassTime());
  EXPECT_TRUE(ticking.AwaitWritten(2));
  request.set_text("beats");
  StreamUnderTest<Counting> beating(request);
  beating.Read(1);
  EXPECT_TRUE(beating.written().empty());
  ASSERT_TRUE(beating.PassIdleTime());
  ASSERT_TRUE(beating.AwaitWritten(1));
  EXPECT_EQ(beating.written().front().text(), "beat");
}

TEST_F(StreamTest, TellsCallerAndOperatorWhenItThrows) {
  const auto watching = Watch("throws");
  EXPECT_EQ(watching->Next(), "end");
  EXPECT_TRUE(absl::IsInternal(watching->End()));
  EXPECT_EQ(guard_.failed(), 1);
  std::lock_guard lock(mutex_);
  EXPECT_THAT(line_, HasSubstr("/probe.Probe/Watch: no more\\nnumbers"));
}

// Callers leave, close their side or are told goodbye, in the middle of everything.
TEST_F(StreamTest, MayEndInAnyWayAtAnyMoment) {
  std::vector<std::jthread> callers;
  std::atomic<int> rounds{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this, &rounds, caller] {
      for (int i = 0; i < 100; ++i, ++rounds) {
        const auto watching = Watch(i % 2 == 0 ? "all" : "ticks");
        for (int j = 0; j < i % 4; ++j) watching->Next();
        const auto context = Bounded();
        const auto chat = stub_->Chat(context.get());
        chat->Write(Note());
        if ((i + caller) % 3 == 0) chat->WritesDone();
        if ((i + caller) % 3 == 1) context->TryCancel();
        watching->context->TryCancel();
      }
    });
  }
  EXPECT_TRUE(testkit::Eventually([&] { return rounds > 200; }));
  goodbye_.Announce();
}

}  // namespace
}  // namespace rpc
