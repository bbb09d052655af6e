#include "service/observability/log_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"

namespace observability {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    writer_ = std::make_unique<LogWriter>("orders", ends_[1]);
  }
  ~LogWriterTest() override {
    writer_.reset();
    close(ends_[0]);
    close(ends_[1]);
  }

  void Use(LogOptions options) {
    writer_ = std::make_unique<LogWriter>("orders", ends_[1], std::move(options));
  }

  // Leaves no room for another byte.
  void FillThePipe() {
    const std::string much(1 << 20, '.');
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    while (write(ends_[1], much.data(), much.size()) > 0) continue;
    while (write(ends_[1], much.data(), 1) > 0) continue;
    fcntl(ends_[1], F_SETFL, 0);
  }

  // All that is there to be read.
  std::string Take() {
    std::string text;
    char bytes[4096];
    for (ssize_t size; (size = read(ends_[0], bytes, sizeof bytes)) > 0;) text.append(bytes, size);
    return text;
  }

  // All that was logged, when it is written.
  std::string Read() {
    std::string text;
    const auto end = std::chrono::steady_clock::now() + kLimit;
    while (!writer_->Flush(std::chrono::milliseconds(10))) {
      text += Take();
      EXPECT_LT(std::chrono::steady_clock::now(), end);
    }
    return text + Take();
  }

  int ends_[2];
  std::unique_ptr<LogWriter> writer_;
};

TEST_F(LogWriterTest, WritesEachLineWithTimeLevelAndProgram) {
  writer_->Log('W', "one");
  EXPECT_THAT(Read(),
              MatchesRegex("[0-9-]{10}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z W orders: one\n"));
}

TEST_F(LogWriterTest, SaysTheTimeInUtc) {
  setenv("TZ", "Pacific/Kiritimati", 1);
  tzset();
  const std::string before = absl::FormatTime("%Y-%m-%dT%H:%M", absl::Now(), absl::UTCTimeZone());
  writer_->Log('W', "one");
  const std::string after = absl::FormatTime("%Y-%m-%dT%H:%M", absl::Now(), absl::UTCTimeZone());
  EXPECT_THAT(Read(), testing::AnyOf(testing::StartsWith(before), testing::StartsWith(after)));
}

TEST_F(LogWriterTest, DropsLinesBelowItsLevel) {
  Use({.level = 'W'});
  for (const char level : {'D', 'I', 'W', 'E'}) writer_->Log(level, "one");
  writer_->LogReport("{}");
  EXPECT_THAT(Read(),
              MatchesRegex(".* W orders: one\n.* E orders: one\n.* I orders: shut.*: \\{\\}\n"));
}

TEST_F(LogWriterTest, AddsFieldsAndTheTagsOfTheThread) {
  Use({.tags = [] { return LogFields{{"trace_id", "4bf9"}}; }});
  writer_->Log('I', "call", {{"method", "/a\nb"}, {"duration_ms", "1.5", true}});
  EXPECT_THAT(Read(), EndsWith(" I orders: call method=/a\\nb duration_ms=1.5 trace_id=4bf9\n"));
}

TEST_F(LogWriterTest, AFieldsValueMakesNoOtherField) {
  writer_->Log('I', "call", {{"method", "/a code=OK\u3000peer=b"}, {"code", "UNIMPLEMENTED"}});
  EXPECT_THAT(Read(),
              EndsWith(" I orders: call method=/a\\x20code=OK\\u3000peer=b code=UNIMPLEMENTED\n"));
}

TEST_F(LogWriterTest, WritesJsonWhereAskedTo) {
  Use({.json = true, .tags = [] { return LogFields{{"trace_id", "4bf9"}}; }});
  writer_->Log('W', "it's \"quoted\"\n", {{"method", "/a\\b"}, {"duration_ms", "1.5", true}});
  EXPECT_THAT(Read(), EndsWith(R"(Z","level":"warning","program":"orders",)"
                               R"("message":"it's \"quoted\"\u000a","method":"/a\\b",)"
                               R"("duration_ms":1.5,"trace_id":"4bf9"})"
                               "\n"));
  writer_->LogReport(R"({"version":2})");
  EXPECT_THAT(Read(), EndsWith(R"("program":"orders","shutdown_report":{"version":2}})"
                               "\n"));
}

// Everything that a peer may send.
TEST_F(LogWriterTest, ItsJsonIsOneValidLimitedLine) {
  Use({.json = true});
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::string words(random() % 6000, '\0');
    for (char& c : words)
      c = "\"\\\n\x1b\xE2\x98\x83\xF0\x9F\xFF"
          "az/{}\t\0"[random() % 18];
    writer_->Log('I', words, {{"method", words}, {"peer", "\xED\xA0\x80\""}});
    const std::string line = Read();
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    ASSERT_LE(line.size(), std::size_t{PIPE_BUF});
    google::protobuf::Struct parsed;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &parsed).ok()) << line;
    ASSERT_EQ(parsed.fields().size(), 6U);
  }
}

TEST_F(LogWriterTest, DropsLinesWhenNobodyReadsAndCountsThem) {
  FillThePipe();
  constexpr int kLines = 1000;
  const std::string kilobytes(4000, 'x');
  for (int i = 0; i < kLines; ++i) writer_->Log('I', kilobytes);
  std::string text = Read();
  writer_->Log('I', "there again");
  text += Read();
  int written = 0;
  for (std::size_t at = 0; (at = text.find("I orders: x", at)) != text.npos; ++at) ++written;
  EXPECT_GT(written, 100);
  EXPECT_EQ(writer_->Lost(), kLines - written);
  EXPECT_EQ(writer_->Dropped(), kLines - written);
  EXPECT_THAT(text, HasSubstr("W orders: " + std::to_string(kLines - written) +
                              " lines lost: nobody read the log\n"));
  EXPECT_THAT(text, EndsWith("I orders: there again\n"));
  EXPECT_LT(text.find("lines lost"), text.find("there again"));
  EXPECT_EQ(text.find("lines lost"), text.rfind("lines lost"));
}

TEST_F(LogWriterTest, CountsWaitingLinesAsLostOnceNobodyReads) {
  FillThePipe();
  writer_->Log('I', "unread");
  EXPECT_FALSE(writer_->Flush(kLimit));
  EXPECT_EQ(writer_->Lost(), 1);
  EXPECT_EQ(writer_->Dropped(), 0);
  EXPECT_THAT(Read(), EndsWith("unread\n"));
  EXPECT_EQ(writer_->Lost(), 0);
}

TEST_F(LogWriterTest, DropsWhatItCannotFlushWhereAskedTo) {
  FillThePipe();
  const std::string kilobytes(4000, 'x');
  for (int i = 0; i < 100; ++i) writer_->Log('I', kilobytes);
  EXPECT_FALSE(writer_->FlushOrDrop(kLimit));
  EXPECT_EQ(writer_->Dropped(), 100);
  EXPECT_EQ(writer_->Lost(), 100);
  Take();
  writer_->Log('I', "next");
  EXPECT_THAT(Read(), MatchesRegex(".* W orders: 100 lines lost: .*\n.* I orders: next\n"));
  writer_->Log('I', "one");
  EXPECT_TRUE(writer_->FlushOrDrop(kLimit));
  EXPECT_THAT(Take(), EndsWith(" I orders: one\n"));
  EXPECT_EQ(writer_->Lost(), 100);
}

// Its thread is writing it, and does not know yet whether that succeeds.
TEST_F(LogWriterTest, DropsNoLineThatIsBeingWritten) {
  FillThePipe();
  for (int i = 0; i < 100; ++i) writer_->Log('I', "unread");
  EXPECT_FALSE(writer_->FlushOrDrop({}));
  writer_->LogReport("{}");
  const std::string text = Read();
  int written = 0;
  for (std::size_t at = 0; (at = text.find("unread", at)) != text.npos; ++at) ++written;
  EXPECT_LE(written, 1);
  EXPECT_EQ(writer_->Dropped(), 100 - written);
  EXPECT_THAT(text, EndsWith("shutdown report: {}\n"));
}

TEST_F(LogWriterTest, MakesOneLineOfWhateverIsLogged) {
  writer_->Log('E', "a\n12:00:00.000 I orders: b\x1b[2J");
  EXPECT_THAT(Read(), EndsWith(" E orders: a\\n12:00:00.000 I orders: b\\x1b[2J\n"));
}

TEST_F(LogWriterTest, MistakesNoWordsForAReport) {
  writer_->Log('I', "shutdown report: {\"version\":1}");
  EXPECT_THAT(Read(), EndsWith(" I orders: [log] shutdown report: {\"version\":1}\n"));
}

TEST_F(LogWriterTest, CutsALineThatAPipeWouldSplit) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "\xE2\x98\x83";
  writer_->Log('I', text);
  const std::string line = Read();
  EXPECT_LE(line.size(), std::size_t{PIPE_BUF});
  EXPECT_GT(line.size(), std::size_t{PIPE_BUF} - 10);
  EXPECT_THAT(line, EndsWith("\xE2\x98\x83...\n"));
}

TEST_F(LogWriterTest, WritesAnyReportDespiteAFullQueue) {
  FillThePipe();
  for (int i = 0; i < 1000; ++i) writer_->Log('I', std::string(4000, 'x'));
  const std::string json = "{" + std::string(3 << 20, 'y') + "}";
  writer_->LogReport(json);
  EXPECT_THAT(Read(), EndsWith(" I orders: shutdown report: " + json + "\n"));
}

TEST_F(LogWriterTest, OutlivesItsReader) {
  signal(SIGPIPE, SIG_IGN);
  close(ends_[0]);
  writer_->Log('I', "to nobody");
  EXPECT_FALSE(writer_->Flush(kLimit));
  EXPECT_EQ(writer_->Lost(), 1);
  ends_[0] = dup(ends_[1]);
}

// The threads of this process.
std::set<pid_t> Threads() {
  std::set<pid_t> threads;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    threads.insert(std::stoi(thread.path().filename()));
  }
  return threads;
}

// Until it waits for something to do, and so holds no lock. As proc(5) says it.
bool AwaitAsleep(pid_t thread) {
  return testkit::Eventually([thread] {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    const std::string text(std::istreambuf_iterator<char>(stat), {});
    return text.find(") S ") != std::string::npos;
  });
}

sem_t stands_still, may_go_on;

// As on a machine that is too busy for it.
TEST_F(LogWriterTest, FlushWritesWhatItsThreadDoesNot) {
  const std::set<pid_t> before = Threads();
  Use({});
  std::set<pid_t> own = Threads();
  for (const pid_t thread : before) own.erase(thread);
  ASSERT_EQ(own.size(), 1U);
  sem_init(&stands_still, 0, 0);
  sem_init(&may_go_on, 0, 0);
  signal(SIGUSR1, [](int) {
    sem_post(&stands_still);
    while (sem_wait(&may_go_on) != 0) continue;
  });
  ASSERT_TRUE(AwaitAsleep(*own.begin()));
  ASSERT_EQ(tgkill(getpid(), *own.begin(), SIGUSR1), 0);
  while (sem_wait(&stands_still) != 0) continue;

  writer_->Log('I', "one");
  EXPECT_FALSE(writer_->FlushOrDrop({}));
  EXPECT_EQ(writer_->Dropped(), 0) << "a reader who is not slow";
  EXPECT_TRUE(writer_->Flush(std::chrono::seconds(1)));
  EXPECT_THAT(Take(), EndsWith(" I orders: one\n"));
  sem_post(&may_go_on);
}

class WithoutAThreadTest : public LogWriterTest {
 protected:
  WithoutAThreadTest() {
    const testkit::NoThreads none;
    writer_ = std::make_unique<LogWriter>("orders", ends_[1]);
  }
};

TEST_F(WithoutAThreadTest, ALineIsWrittenWhenItIsLogged) {
  writer_->Log('I', "one");
  EXPECT_THAT(Take(), EndsWith(" I orders: one\n"));
}

TEST_F(WithoutAThreadTest, AnUnwrittenLineWaitsForTheNext) {
  FillThePipe();
  writer_->Log('I', "one");
  EXPECT_THAT(Take(), Not(HasSubstr("one")));
  writer_->Log('I', "two");
  EXPECT_THAT(Take(), MatchesRegex(".* I orders: one\n.* I orders: two\n"));
}

TEST_F(WithoutAThreadTest, FlushWritesOnceTheReaderReadsAgain) {
  FillThePipe();
  writer_->Log('I', "one");
  Take();
  EXPECT_TRUE(writer_->Flush(kLimit));
  EXPECT_THAT(Take(), EndsWith(" I orders: one\n"));
}

TEST(LogWriter, PrintsToStdoutWithoutWaiting) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const int own = dup(STDOUT_FILENO);
  dup2(ends[1], STDOUT_FILENO);
  LogWriter writer("orders");
  writer.Print("listening\non");
  const std::string much(1 << 20, '.');
  while (write(ends[1], much.data(), much.size()) > 0) continue;
  fcntl(ends[1], F_SETFL, 0);
  writer.Print("nobody listens");
  dup2(own, STDOUT_FILENO);
  close(own);
  std::string text(100, '\0');
  EXPECT_EQ(read(ends[0], text.data(), text.size()), 100);
  EXPECT_THAT(text, testing::StartsWith("listening\\non\n..."));
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace observability
