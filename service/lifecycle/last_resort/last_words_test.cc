#include "service/lifecycle/last_resort/last_words.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <unistd.h>

#include <string>

namespace lifecycle {
namespace {

// stderr is a pipe that nobody reads until the test does.
class LastWordsTest : public testing::Test {
 protected:
  LastWordsTest() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    reader_ = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
  }
  ~LastWordsTest() override {
    dup2(stderr_, STDERR_FILENO);
    close(stderr_);
    close(reader_);
  }

  std::string Read() {
    std::string text(8000, '\0');
    text.resize(static_cast<std::size_t>(read(reader_, text.data(), text.size())));
    return text;
  }

  const int stderr_ = dup(STDERR_FILENO);
  int reader_ = -1;
};

TEST_F(LastWordsTest, AreOneLine) {
  WriteLastWords({"so", " ", "long"});
  EXPECT_EQ(Read(), "so long\n");
}

TEST_F(LastWordsTest, AreOneLineWhateverMethodPeersName) {
  WriteLastWords({"calls running: /a\n12:00:00.000 I echo: \x1b[2J", "\r\x7f", "\xC3\xA9"});
  EXPECT_EQ(Read(), "calls running: /a 12:00:00.000 I echo:  [2J  \xC3\xA9\n");
}

TEST_F(LastWordsTest, HaveNothingThatControlsATerminal) {
  WriteLastWords(
      {"\x9B", "a\xC2\x9B", "b\xC2\x85", "c\xE2\x80\xAE", "d\xE2\x80\xA8", "e\xE2\x81\xA6"});
  EXPECT_EQ(Read(), " a  b  c   d   e   \n");
  WriteLastWords({"too long: \xC0\x8A\xE0\x82\x9B, cut: \xE2\x82"});
  EXPECT_EQ(Read(), "too long:      , cut:   \n");
  WriteLastWords({"\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xC2\xA0"});
  EXPECT_EQ(Read(), "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xC2\xA0\n");
}

TEST_F(LastWordsTest, AreCutWhenTheyAreTooLong) {
  WriteLastWords({"so ", std::string(5000, 'x'), "long"});
  EXPECT_EQ(Read(), "so " + std::string(PIPE_BUF - 4, 'x') + "\n");
}

TEST_F(LastWordsTest, DoNotBlockWhenNobodyReads) {
  for (int i = 0; i < 1000; ++i) WriteLastWords({std::string(4000, 'x')});
  EXPECT_EQ(Read().substr(0, 3), "xxx");
}

}  // namespace
}  // namespace lifecycle
