#include "service/rpc/connections/takeover.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
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

// How many calls of accept4() shall fail.
std::atomic<int> accepts_without_descriptors = 0;

sockaddr_un NameOf(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, path.c_str(), sizeof name.sun_path - 1);
  return name;
}

// A process that serves and answers as it is told to.
class Predecessor {
 public:
  explicit Predecessor(const std::string& path)
      : path_(path), listening_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    const sockaddr_un name = NameOf(path);
    EXPECT_EQ(bind(listening_.load(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    EXPECT_EQ(listen(listening_, 1), 0);
  }
  ~Predecessor() { Close(); }

  // Waits for somebody who asks; -1 once it is closed.
  int Admit() { return accept(listening_, nullptr, nullptr); }
  static void Dismiss(int guest) { close(guest); }
  void Close() {
    if (listening_ < 0) return;
    unlink(path_.c_str());
    Crash();
  }
  // Leaves its file.
  void Crash() {
    shutdown(listening_, SHUT_RDWR);  // accept() returns.
    close(listening_.exchange(-1));
  }

 private:
  const std::string path_;
  std::atomic<int> listening_;
};

// Whether the process that was asked has ended the connection.
bool IsDismissed(int fd) {
  char word;
  const ssize_t got = recv(fd, &word, 1, MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN);
}

bool AwaitDismissal(int fd) {
  return testkit::Eventually([fd] { return IsDismissed(fd); });
}

void PassWithoutAWord(int to, int fd) {
  msghdr message{};
  char control[CMSG_SPACE(sizeof fd)] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  EXPECT_EQ(sendmsg(to, &message, MSG_NOSIGNAL), 0);
}

class TakeoverTest : public ::testing::Test {
 protected:
  int Connect() {
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const sockaddr_un name = NameOf(path_);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return fd;
  }

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
  auto old = Serves();
  InheritedSockets inherited;
  const auto next = Begin(inherited);
  old->Close();
  EXPECT_TRUE(old->has_successor());
  old.reset();
  const auto alone = Serves();
  alone->Close();
  EXPECT_FALSE(alone->has_successor());
  alone->Close();
}

TEST_F(TakeoverTest, ReplacesTheFileOfAProcessThatCrashed) {
  {
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    const sockaddr_un name = NameOf(path_);
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
  const Predecessor silent(path_);
  EXPECT_THAT(std::string(BeginError().message()),
              AllOf(HasSubstr(myself_), HasSubstr("hands nothing over")));
}

TEST_F(TakeoverTest, SaysWhenTheOldOneGivesNothing) {
  Predecessor old(path_);
  std::atomic<bool> asks = true;
  auto refuses = std::async(std::launch::async, [&] {
    while (asks) old.Dismiss(old.Admit());
  });
  EXPECT_THAT(std::string(BeginError().message()),
              AllOf(HasSubstr(path_), HasSubstr(myself_), HasSubstr("hands nothing over")));
  asks = false;
  old.Close();
}

TEST_F(TakeoverTest, WaitsForAnAnswerAlthoughSignalsArrive) {
  Predecessor old(path_);
  struct sigaction nothing {};
  struct sigaction before {};
  nothing.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR2, &nothing, &before), 0);
  std::promise<pthread_t> thread;
  auto begins = std::async(std::launch::async, [&] {
    thread.set_value(pthread_self());
    return BeginError();
  });
  const pthread_t waits = thread.get_future().get();
  const int guest = old.Admit();
  // Some of them find it waiting; were it none, the test would prove less and not fail.
  for (int i = 0; i < 50; ++i) {
    pthread_kill(waits, SIGUSR2);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(send(guest, "1", 1, MSG_NOSIGNAL), 1);
  EXPECT_TRUE(begins.get().ok());
  old.Dismiss(guest);
  sigaction(SIGUSR2, &before, nullptr);
}

TEST_F(TakeoverTest, OfAProcessThatEndsTakesNothing) {
  Predecessor old(path_);
  auto begins = std::async(std::launch::async, [this] { return BeginError(); });
  const int guest = old.Admit();
  old.Close();
  old.Dismiss(guest);
  EXPECT_TRUE(begins.get().ok());
}

TEST_F(TakeoverTest, ClosesWhatCameWithAnEmptyMessage) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  Predecessor old(path_);
  auto begins = std::async(std::launch::async, [this] { return BeginError(); });
  const int guest = old.Admit();
  PassWithoutAWord(guest, ends[1]);
  close(ends[1]);
  old.Close();
  old.Dismiss(guest);
  EXPECT_TRUE(begins.get().ok());
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "somebody has the pipe's other end";
  close(ends[0]);
}

TEST_F(TakeoverTest, OfAProcessThatHasBeenReplacedTurnsToTheOther) {
  Predecessor old(path_);
  InheritedSockets inherited;
  auto begins = std::async(std::launch::async, [&] { return Begin(inherited); });
  const int guest = old.Admit();
  old.Close();
  const auto other = Serves();
  old.Dismiss(guest);
  const auto takeover = begins.get();
  EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
}

TEST_F(TakeoverTest, OfAProcessThatHasASuccessorWaitsForIt) {
  Predecessor old(path_);
  InheritedSockets inherited;
  auto begins = std::async(std::launch::async, [&] { return Begin(inherited); });
  const int guest = old.Admit();
  old.Crash();
  old.Dismiss(guest);
  // Were it not refused by then, the test would prove less and not fail.
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const auto other = Serves();
  const auto takeover = begins.get();
  EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
}

TEST_F(TakeoverTest, LetsWhoStillAsksTurnToTheSuccessor) {
  const auto old = Serves();
  InheritedSockets none;
  auto next = Begin(none);
  const int third = Connect();  // In the queue of the old one, which talks to the next.
  EXPECT_TRUE(next->Publish().ok());
  next->Serve(Host());
  EXPECT_TRUE(AwaitDismissal(third));
  close(third);
}

TEST_F(TakeoverTest, LetsNobodyBindBeforeItsAddressesAreFree) {
  auto old = Serves();
  old->Close();
  const int asks = Connect();
  EXPECT_FALSE(IsDismissed(asks));
  old.reset();
  EXPECT_TRUE(AwaitDismissal(asks));
  close(asks);
}

TEST_F(TakeoverTest, GivesAllSocketsOrNone) {
  InheritedSockets none;
  const auto old = Begin(none);
  EXPECT_TRUE(old->Publish().ok());
  std::atomic<bool> enough = false;
  Takeover::Host host = Host();
  host.sockets = [&enough, one = host.sockets] {
    std::vector<Takeover::Shared> shared = one();
    shared.push_back({"127.0.0.1:1", enough ? one().front().fds : std::vector<int>()});
    return shared;
  };
  old->Serve(std::move(host));
  InheritedSockets inherited;
  auto begins = std::async(std::launch::async, [&] { return Begin(inherited); });
  EXPECT_TRUE(AwaitNotes(1));
  enough = true;
  const auto next = begins.get();
  EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
  EXPECT_TRUE(inherited.Has("127.0.0.1:1"));
  EXPECT_THAT(Notes(), ElementsAre(AllOf(HasSubstr(myself_), HasSubstr("could not be given"))));
}

TEST_F(TakeoverTest, WithoutDescriptorsTriesAgainOnceInAWhile) {
  const auto old = Serves();
  const auto begun = std::chrono::steady_clock::now();
  accepts_without_descriptors = 3;
  InheritedSockets inherited;
  const auto next = Begin(inherited);
  EXPECT_EQ(accepts_without_descriptors, 0);
  EXPECT_TRUE(inherited.Has("127.0.0.1:0"));
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(30));
}

}  // namespace
}  // namespace rpc

// Found before the C library's by everything that is linked statically.
extern "C" int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  if (rpc::accepts_without_descriptors > 0) {
    --rpc::accepts_without_descriptors;
    errno = EMFILE;
    return -1;
  }
  return static_cast<int>(syscall(SYS_accept4, fd, address, size, flags));
}
