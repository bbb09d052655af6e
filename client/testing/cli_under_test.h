#ifndef CLIENT_TESTING_CLI_UNDER_TEST_H_
#define CLIENT_TESTING_CLI_UNDER_TEST_H_

#include <memory>
#include <sstream>
#include <stop_token>
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

  int Run(const std::vector<std::string>& arguments) {
    out_.str("");
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

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::istringstream in_;
  bool err_is_terminal_ = false;
  std::stop_source interrupt_;
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();

 private:
  const std::vector<Command> commands_;
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace client

#endif  // CLIENT_TESTING_CLI_UNDER_TEST_H_
