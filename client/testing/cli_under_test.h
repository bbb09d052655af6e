#ifndef CLIENT_TESTING_CLI_UNDER_TEST_H_
#define CLIENT_TESTING_CLI_UNDER_TEST_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <ostream>
#include <sstream>
#include <stop_token>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "client/cli.h"
#include "client/command.h"
#include "client/testing/fake_clock.h"
#include "gtest/gtest.h"

namespace client {

// The client program with some commands, on a terminal that the test controls.
class CliUnderTest : public testing::Test {
 protected:
  explicit CliUnderTest(std::vector<Command> commands) : commands_(std::move(commands)) {}

  static constexpr std::size_t kNoLimit = ~std::size_t{0};

  // The output takes so many bytes, and then no more.
  int Run(const std::vector<std::string>& arguments, std::size_t output_takes = kNoLimit) {
    written_.Clear(output_takes);
    out_.clear();
    err_.str("");
    return client::Run(arguments, commands_,
                       {.in = in_,
                        .out = out_,
                        .err = err_,
                        .err_is_terminal = err_is_terminal_,
                        .stop_on_interrupt = [this] { return interrupt_.get_token(); },
                        .clock = clock_});
  }

  // The overview and the help of every command are complete.
  void ExpectHelp() {
    std::vector<std::vector<std::string>> helps = {{"help"}};
    for (const Command& command : commands_) {
      EXPECT_EQ(Run({"help"}), 0);
      EXPECT_NE(out().find("\n  client " + command.name), std::string::npos) << command.name;
      helps.push_back({"help", command.name});
    }
    for (const auto& help : helps) {
      EXPECT_EQ(Run(help), 0);
      std::istringstream lines(out());
      for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
    }
  }

  // A wrong command line prints one line that says what would be valid.
  void ExpectUsageError(const std::vector<std::string>& arguments, const std::string& error) {
    EXPECT_EQ(Run(arguments), kUsage);
    EXPECT_EQ(err(), "client " + arguments[0] + ": " + error + " (see: client help " +
                         arguments[0] + ")\n");
    EXPECT_EQ(out(), "");
  }

  std::string out() const { return written_.text(); }
  std::string err() const { return err_.str(); }

  std::istringstream in_;
  bool err_is_terminal_ = false;
  std::stop_source interrupt_;
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();

 private:
  // A file that can be full.
  class Written final : public std::streambuf {
   public:
    void Clear(std::size_t limit) {
      text_.clear();
      limit_ = limit;
    }
    const std::string& text() const { return text_; }

   private:
    std::streamsize xsputn(const char* bytes, std::streamsize count) override {
      const std::size_t taken =
          std::min(static_cast<std::size_t>(count), limit_ - std::min(limit_, text_.size()));
      text_.append(bytes, taken);
      return static_cast<std::streamsize>(taken);
    }
    int_type overflow(int_type byte) override {
      const char one = traits_type::to_char_type(byte);
      return xsputn(&one, 1) == 1 ? byte : traits_type::eof();
    }

    std::string text_;
    std::size_t limit_ = kNoLimit;
  };

  const std::vector<Command> commands_;
  Written written_;
  std::ostream out_{&written_};
  std::ostringstream err_;
};

}  // namespace client

#endif  // CLIENT_TESTING_CLI_UNDER_TEST_H_
