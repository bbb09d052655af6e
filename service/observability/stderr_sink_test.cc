#include "service/observability/stderr_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "spdlog/spdlog.h"

namespace observability {
namespace {

class StderrSinkTest : public ::testing::Test {
 protected:
  StderrSinkTest() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
    logger_ = std::make_unique<spdlog::logger>("test", std::make_shared<StderrSink>(ends_[1]));
    logger_->set_pattern("%v");
  }
  ~StderrSinkTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }

  void Log(const std::string& line) { logger_->info(line); }

  // Of a reader who does not read yet.
  void HaveRoom(int bytes) { EXPECT_EQ(fcntl(ends_[1], F_SETPIPE_SZ, bytes), bytes); }

  // Leaves no room for another byte.
  void FillThePipe() {
    const std::string much(1 << 20, '.');
    fcntl(ends_[1], F_SETFL, O_NONBLOCK);
    while (write(ends_[1], much.data(), much.size()) > 0) continue;
    fcntl(ends_[1], F_SETFL, 0);
  }

  // All that is there to be read.
  std::string Read() {
    std::string text;
    char bytes[4096];
    for (ssize_t size; (size = read(ends_[0], bytes, sizeof bytes)) > 0;) text.append(bytes, size);
    return text;
  }

  int ends_[2];
  std::unique_ptr<spdlog::logger> logger_;
};

TEST_F(StderrSinkTest, WritesEachLineAtOnce) {
  Log("one");
  EXPECT_EQ(Read(), "one\n");
  Log("two");
  EXPECT_EQ(Read(), "two\n");
}

TEST_F(StderrSinkTest, LosesLinesWhenNobodyReadsAndSaysHowManyAfterwards) {
  FillThePipe();
  Log("lost");
  Log("lost as well");
  Log("and this");
  EXPECT_EQ(Read().find_first_not_of('.'), std::string::npos);
  Log("there again");
  EXPECT_EQ(Read(), "(3 lines lost: nobody read them)\nthere again\n");
  Log("as before");
  EXPECT_EQ(Read(), "as before\n");
}

TEST_F(StderrSinkTest, WritesALineOfAnyLengthAsAWhole) {
  HaveRoom(1 << 20);
  const std::string line(1'000'000, 'x');
  Log(line);
  EXPECT_EQ(Read(), line + "\n");
}

TEST_F(StderrSinkTest, BreaksALongLineOffWhenNobodyReadsAndBeginsAnotherAfterwards) {
  HaveRoom(8192);
  Log(std::string(20000, 'x'));
  Log("lost");
  EXPECT_EQ(Read(), std::string(8192, 'x'));
  Log("there again");
  EXPECT_EQ(Read(), "\n(2 lines lost: nobody read them)\nthere again\n");
  Log("as before");
  EXPECT_EQ(Read(), "as before\n");
}

TEST_F(StderrSinkTest, OutlivesItsReader) {
  signal(SIGPIPE, SIG_IGN);
  close(ends_[0]);
  Log("to nobody");
  Log("to nobody");
}

}  // namespace
}  // namespace observability
