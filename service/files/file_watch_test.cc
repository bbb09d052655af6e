#include "service/files/file_watch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/files/read_file.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace files {
namespace {

using ::testing::ElementsAre;

using Watch = FileWatch<std::string>;

class FileWatchTest : public ::testing::Test {
 protected:
  FileWatchTest() { Write("old"); }

  // At once, as a careful tool does it.
  void Write(const std::string& text) {
    std::ofstream(path_ + ".new") << text;
    std::rename((path_ + ".new").c_str(), path_.c_str());
  }

  std::vector<std::string> told() {
    std::lock_guard lock(mutex_);
    return told_;
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("watched");
  std::mutex mutex_;
  std::vector<std::string> told_;  // Guarded by mutex_.
  const Watch::Read read_ = [path = path_] { return ReadFile(path); };
  const Watch::Changed changed_ = [this](const absl::StatusOr<std::string>& text) {
    std::lock_guard lock(mutex_);
    told_.push_back(text.ok() ? *text : "cannot be read");
  };
};

TEST_F(FileWatchTest, TellsEachChangeOnce) {
  const Watch watch(read_, "old", changed_, std::chrono::milliseconds(5));
  Write("new");
  ASSERT_TRUE(testkit::Eventually([this] { return told().size() == 1; }));
  std::remove(path_.c_str());
  ASSERT_TRUE(testkit::Eventually([this] { return told().size() == 2; }));
  Write("old");
  ASSERT_TRUE(testkit::Eventually([this] { return told().size() == 3; }));
  EXPECT_THAT(told(), ElementsAre("new", "cannot be read", "old"));
}

TEST_F(FileWatchTest, TellsWhatChangedBeforeItBegan) {
  const Watch watch(read_, "what was read before", changed_, std::chrono::milliseconds(5));
  ASSERT_TRUE(testkit::Eventually([this] { return told().size() == 1; }));
  EXPECT_THAT(told(), ElementsAre("old"));
}

TEST_F(FileWatchTest, TellsOnlyWhatTwoReadsAgreeOn) {
  const auto reads = std::make_shared<std::atomic<std::size_t>>(0);
  const auto read = [reads]() -> absl::StatusOr<std::string> {
    const std::vector<std::string> script = {"old", "half", "new", "new", "half", "new"};
    return script[std::min((*reads)++, script.size() - 1)];
  };
  const Watch watch(read, "old", changed_, std::chrono::milliseconds(1));
  ASSERT_TRUE(testkit::Eventually([&] { return *reads > 10; }));
  EXPECT_THAT(told(), ElementsAre("new"));
}

}  // namespace
}  // namespace files
