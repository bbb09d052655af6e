#include "service/observability/report_file.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/no_threads.h"
#include "tests/common/temp_dir.h"

namespace observability {
namespace {

using lifecycle::Clock;
using testing::HasSubstr;

class ReportFileTest : public ::testing::Test {
 protected:
  static Clock::TimePoint InAMoment() { return Clock::Steady().Now() + std::chrono::seconds(40); }
  static absl::Status Write(ReportFile& file, const std::string& text) {
    file.Begin(text);
    return file.Await(InAMoment());
  }
  std::string Content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("report");
};

TEST_F(ReportFileTest, IsWrittenEvenWhenThreadsRanOut) {
  ReportFile file(path_);
  const testkit::NoThreads from_now_on;
  EXPECT_EQ(Write(file, "one"), absl::OkStatus());
  EXPECT_EQ(Content(), "one");
  EXPECT_EQ(Write(file, "two"), absl::OkStatus());
  EXPECT_EQ(Content(), "two");
}

TEST_F(ReportFileTest, IsWrittenEvenWithoutAThread) {
  const testkit::NoThreads ever;
  ReportFile file(path_);
  EXPECT_EQ(Write(file, "one"), absl::OkStatus());
  EXPECT_EQ(Content(), "one");
}

TEST_F(ReportFileTest, WithoutANameIsNotWritten) {
  ReportFile file("");
  EXPECT_EQ(Write(file, "one"), absl::OkStatus());
}

TEST_F(ReportFileTest, SaysWhyItCannotBeWritten) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  ReportFile file(path_);
  EXPECT_THAT(std::string(Write(file, "one").message()), HasSubstr("is a directory"));
}

TEST_F(ReportFileTest, WritesTheLastTextAfterOneThatHung) {
  std::promise<void> begun, released;
  std::vector<std::string> texts;
  ReportFile file(path_, [&](const std::string&, const std::string& text) {
    texts.push_back(text);
    if (texts.size() == 1) {
      begun.set_value();
      released.get_future().wait();
      return absl::UnavailableError("the first");
    }
    return absl::OkStatus();
  });
  file.Begin("one");
  begun.get_future().wait();
  file.Begin("two");
  file.Begin("three");
  EXPECT_TRUE(absl::IsDeadlineExceeded(file.Await(Clock::Steady().Now())));
  released.set_value();
  EXPECT_EQ(file.Await(InAMoment()), absl::OkStatus());
  EXPECT_THAT(texts, testing::ElementsAre("one", "three"));
}

}  // namespace
}  // namespace observability
