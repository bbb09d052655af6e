#include "service/rpc/takeover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TakeoverTest : public ::testing::Test {
 protected:
  std::unique_ptr<Takeover> Begin(InheritedSockets& inherited) {
    auto takeover = Takeover::Begin(path_, inherited);
    EXPECT_TRUE(takeover.ok()) << takeover.status();
    return takeover.ok() ? *std::move(takeover) : nullptr;
  }

  absl::Status BeginError() {
    InheritedSockets none;
    return Takeover::Begin(path_, none).status();
  }

  // A process that serves with one pipe's end as its listening socket: what is passed need not
  // listen.
  std::unique_ptr<Takeover> Serves() {
    InheritedSockets none;
    std::unique_ptr<Takeover> takeover = Begin(none);
    EXPECT_TRUE(takeover->Publish().ok());
    takeover->Serve(Host());
    return takeover;
  }

  Takeover::Host Host() {
    return {.sockets =
                [] {
                  int ends[2];
                  EXPECT_EQ(pipe(ends), 0);
                  close(ends[1]);
                  return std::vector<Takeover::Shared>{{"127.0.0.1:0", {ends[0]}}};
                },
            .handed_over = [this](const std::string& to) { Note("to " + to); },
            .log = [this](const std::string& words) { Note(words); }};
  }

  void Note(const std::string& words) {
    std::lock_guard lock(mutex_);
    notes_.push_back(words);
  }
  std::vector<std::string> Notes() {
    std::lock_guard lock(mutex_);
    return notes_;
  }
  bool AwaitNotes(std::size_t count) {
    return testkit::Eventually([&] { return Notes().size() >= count; });
  }

  std::vector<std::string> Files() {
    std::vector<std::string> files;
    for (const auto& each : std::filesystem::directory_iterator(directory_.path())) {
      files.push_back(each.path().filename());
    }
    return files;
  }

  const testkit::TempDir directory_{"/tmp"};  // Short enough for a socket's name.
  const std::string path_ = directory_.File("takeover");
  const std::string myself_ = "process " + std::to_string(getpid());
  std::mutex mutex_;
  std::vector<std::string> notes_;  // Guarded by mutex_.
};

TEST_F(TakeoverTest, OfNobodyTakesNothing) {
  InheritedSockets inherited;
  const auto takeover = Begin(inherited);
  EXPECT_EQ(inherited.FirstNotIn({}), "");
}

TEST_F(TakeoverTest, GetsTheSocketsAndOnceServingReportsIt) {
  const auto old = Serves();
  InheritedSockets inherited;
  const auto takeover = Begin(inherited);
  EXPECT_EQ(inherited.FirstNotIn({}), "127.0.0.1:0");
  EXPECT_THAT(Notes(), IsEmpty());
  EXPECT_TRUE(takeover->Publish().ok());
  takeover->Serve(Host());
  EXPECT_TRUE(AwaitNotes(1));
  EXPECT_THAT(Notes(), ElementsAre("to " + myself_));
}

TEST_F(TakeoverTest, ThatFailsLeavesTheOldOneAlone) {
  const auto old = Serves();
  for (std::size_t attempt = 1; attempt <= 2; ++attempt) {
    InheritedSockets inherited;
    const auto takeover = Begin(inherited);
    EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
  }
  EXPECT_TRUE(AwaitNotes(2));
  EXPECT_THAT(Notes()[1], AllOf(HasSubstr(myself_), HasSubstr("this one goes on")));
  EXPECT_THAT(Files(), ElementsAre("takeover"));
  InheritedSockets inherited;
  const auto takeover = Begin(inherited);
  EXPECT_TRUE(takeover->Publish().ok());
  takeover->Serve(Host());
  EXPECT_TRUE(AwaitNotes(3));
  EXPECT_EQ(Notes()[2], "to " + myself_);
}

TEST_F(TakeoverTest, CanBeTakenOverInItsTurn) {
  auto last = Serves();
  for (std::size_t generation = 1; generation <= 5; ++generation) {
    auto next = Serves();
    EXPECT_TRUE(AwaitNotes(generation));
    last = std::move(next);
  }
  EXPECT_EQ(Notes().back(), "to " + myself_);
}

TEST_F(TakeoverTest, LeavesNoFileBehind) {
  Serves();
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(TakeoverTest, LeavesTheFileOfItsSuccessor) {
  auto old = Serves();
  const auto next = Serves();
  EXPECT_TRUE(AwaitNotes(1));
  old.reset();
  EXPECT_THAT(Files(), ElementsAre("takeover"));
}

TEST_F(TakeoverTest, KnowsASuccessorThatHasTheSocketsOnly) {
  const auto old = Serves();
  InheritedSockets inherited;
  const auto next = Begin(inherited);
  old->Close();
  EXPECT_TRUE(old->has_successor());
  const auto alone = Serves();
  alone->Close();
  EXPECT_FALSE(alone->has_successor());
  alone->Close();
}

TEST_F(TakeoverTest, ReplacesTheFileOfAProcessThatCrashed) {
  {
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path_.c_str(), sizeof name.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    close(fd);
  }
  const auto serves = Serves();
  InheritedSockets inherited;
  const auto takeover = Begin(inherited);
  EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
}

TEST_F(TakeoverTest, IsForTheSameUserOnly) {
  const auto serves = Serves();
  struct stat file {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600);
}

TEST_F(TakeoverTest, NeverReplacesAFileThatIsNoSocket) {
  std::ofstream(path_) << "precious";
  const absl::Status error = BeginError();
  EXPECT_TRUE(absl::IsInvalidArgument(error)) << error;
  EXPECT_THAT(std::string(error.message()), AllOf(HasSubstr(path_), HasSubstr("another path")));
  EXPECT_THAT(Files(), ElementsAre("takeover"));
}

TEST_F(TakeoverTest, NamesAPathThatCannotBe) {
  InheritedSockets none;
  for (const std::string& path :
       {directory_.File("missing/takeover"), directory_.File(std::string(200, 'x'))}) {
    const absl::Status error = Takeover::Begin(path, none).status();
    EXPECT_FALSE(error.ok());
    EXPECT_THAT(std::string(error.message()), HasSubstr(path));
  }
}

// It may serve still: whoever binds the address beside it fails, and nobody is refused.
TEST_F(TakeoverTest, SaysWhenTheOldOneDoesNotAnswer) {
  const int silent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, path_.c_str(), sizeof name.sun_path - 1);
  ASSERT_EQ(bind(silent, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(listen(silent, 1), 0);
  EXPECT_THAT(std::string(BeginError().message()),
              AllOf(HasSubstr(myself_), HasSubstr("does not answer")));
  close(silent);
}

}  // namespace
}  // namespace rpc
