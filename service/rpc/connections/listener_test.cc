#include "service/rpc/connections/listener.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"
#include "tests/common/socket_path.h"

namespace rpc {
namespace {

// What names stand for, and whether there is IPv6, differs by machine; not in here. These
// names are known to getaddrinfo() below.
constexpr char kTwoIPv4[] = "two-ipv4.test";
constexpr char kBothFamilies[] = "both-families.test";

// While one lives, socket() knows no IPv6, as that of a kernel without.
class NoIPv6Sockets {
 public:
  NoIPv6Sockets() { any_ = true; }
  ~NoIPv6Sockets() { any_ = false; }
  static bool any() { return any_; }

 private:
  static inline std::atomic<bool> any_{false};
};

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace
}  // namespace rpc

// In place of the C library's.
extern "C" int getaddrinfo(const char* host, const char* port, const addrinfo* hints,
                           addrinfo** found) {
  static auto* const real = rpc::Real<decltype(getaddrinfo)>("getaddrinfo");
  const std::string name = host == nullptr ? "" : host;
  if (name != rpc::kTwoIPv4 && name != rpc::kBothFamilies) return real(host, port, hints, found);
  // freeaddrinfo() frees each of a list for itself.
  if (const int error = real("127.0.0.1", port, hints, found); error != 0) return error;
  return real(name == rpc::kTwoIPv4 ? "127.0.0.2" : "::1", port, hints, &(*found)->ai_next);
}

extern "C" int socket(int family, int type, int protocol) {
  static auto* const real = rpc::Real<decltype(socket)>("socket");
  if (family == AF_INET6 && rpc::NoIPv6Sockets::any()) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  return real(family, type, protocol);
}

namespace rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAreArray;

std::unique_ptr<Listener> BindOrDie(const std::string& address = "127.0.0.1:0") {
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind(address);
  EXPECT_TRUE(listener.ok()) << listener.status();
  return *std::move(listener);
}

std::unique_ptr<Listener> ListenOrDie(const std::string& address = "127.0.0.1:0") {
  std::unique_ptr<Listener> listener = BindOrDie(address);
  const absl::Status listens = listener->Listen();
  EXPECT_TRUE(listens.ok()) << listens;
  return listener;
}

absl::Status BindError(const std::string& address) { return Listener::Bind(address).status(); }

// Takes connections, and greets each so that its caller knows.
class Host {
 public:
  ~Host() {
    for (const int fd : accepted_) close(fd);
  }

  Listener::Accept Accept() {
    return [this](int listener_fd, int fd) {
      EXPECT_GE(listener_fd, 0);
      std::lock_guard lock(mutex_);
      accepted_.push_back(fd);
      EXPECT_EQ(write(fd, "hello", 5), 5);
    };
  }

  std::vector<int> accepted() {
    std::lock_guard lock(mutex_);
    return accepted_;
  }

 private:
  std::mutex mutex_;
  std::vector<int> accepted_;  // Guarded by mutex_.
};

std::ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                       std::filesystem::directory_iterator());
}

TEST(Listener, HandsOverNewConnections) {
  Host host;
  const auto listener = ListenOrDie();
  EXPECT_THAT(listener->address(), MatchesRegex("127\\.0\\.0\\.1:[0-9]+"));
  listener->Start(host.Accept());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
  listener->Close();  // The host notes whom it has greeted.
  EXPECT_EQ(host.accepted().size(), 3u);
}

TEST(Listener, HandsOverSocketsWithTheRightOptions) {
  Host host;
  const auto listener = ListenOrDie();
  listener->Start(host.Accept());
  RawConnection caller(listener->address());
  ASSERT_TRUE(caller.Receive("hello"));
  listener->Close();
  ASSERT_EQ(host.accepted().size(), 1u);
  const int fd = host.accepted()[0];
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  int no_delay = 0;
  socklen_t size = sizeof no_delay;
  ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
  EXPECT_TRUE(no_delay);
}

TEST(Listener, CutsOnlyItsOwnConnections) {
  Host host;
  Host other_host;
  const auto listener = ListenOrDie();
  const auto other = ListenOrDie();
  listener->Start(host.Accept());
  other->Start(other_host.Accept());
  RawConnection caller(listener->address());
  RawConnection other_caller(other->address());
  ASSERT_TRUE(caller.Receive("hello"));
  ASSERT_TRUE(other_caller.Receive("hello"));
  listener->Close();
  other->Close();

  listener->CutConnections();
  ASSERT_EQ(host.accepted().size(), 1u);
  ASSERT_EQ(other_host.accepted().size(), 1u);
  EXPECT_EQ(send(host.accepted()[0], "more", 4, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(send(other_host.accepted()[0], "more", 4, MSG_NOSIGNAL), 4);
  EXPECT_TRUE(other_caller.Receive("more"));
}

TEST(Listener, RefusesUntilItListensThenQueuesUntilStarted) {
  Host host;
  const auto listener = BindOrDie();
  EXPECT_FALSE(RawConnection(listener->address()).connected());
  ASSERT_TRUE(listener->Listen().ok());
  RawConnection early(listener->address());
  ASSERT_TRUE(early.connected());
  listener->Start(host.Accept());
  EXPECT_TRUE(early.Receive("hello"));
}

TEST(Listener, HandsOverEveryConnectionMadeBeforeClose) {
  constexpr int kCallers = 200;
  Host host;
  const auto listener = ListenOrDie();
  std::vector<std::unique_ptr<RawConnection>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<RawConnection>(listener->address()));
    ASSERT_TRUE(callers.back()->connected());
  }
  // Closes while nearly all of them still wait.
  listener->Start(host.Accept());
  listener->Close();
  EXPECT_EQ(host.accepted().size(), static_cast<std::size_t>(kCallers));
  for (const auto& caller : callers) EXPECT_TRUE(caller->Receive("hello"));
}

TEST(Listener, RefusesConnectionsAfterClose) {
  Host host;
  const auto listener = ListenOrDie();
  listener->Start(host.Accept());
  RawConnection before(listener->address());
  listener->Close();
  EXPECT_FALSE(RawConnection(listener->address()).connected());
  EXPECT_TRUE(before.Receive("hello")) << "those that were there before are left alone";
  listener->Close();
}

// Peers that connect and close as fast as they can.
class Storm {
 public:
  explicit Storm(const std::string& address) {
    for (int i = 0; i < 8; ++i) {
      threads_.emplace_back([this, address] {
        while (!over_) {
          RawConnection caller(address);
          ++connected_;
        }
      });
    }
  }
  ~Storm() {
    over_ = true;
    for (std::thread& each : threads_) each.join();
  }
  bool AwaitBegun() {
    return testkit::Eventually([this] { return connected_ > 100; });
  }

 private:
  std::atomic<bool> over_{false};
  std::atomic<int> connected_{0};
  std::vector<std::thread> threads_;
};

TEST(Listener, ClosesWhilePeersKeepConnecting) {
  const auto listener = ListenOrDie();
  std::atomic<int> accepted{0};
  listener->Start([&](int, int fd) {
    ++accepted;
    // So slow that the peers are always ahead.
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    close(fd);
  });
  Storm storm(listener->address());
  ASSERT_TRUE(storm.AwaitBegun());
  ASSERT_TRUE(testkit::Eventually([&] { return accepted > 0; }));
  listener->Close();
}

TEST(Listener, RefusesConnectionsThatWouldUseTheReserve) {
  Host host;
  const auto listener = ListenOrDie();
  const int lowest_free = dup(0);
  ASSERT_GE(lowest_free, 0);
  close(lowest_free);
  std::atomic<int> refused{0};
  // Room for a connection's both ends, twice.
  listener->Start(host.Accept(), lowest_free + 4, [&] { ++refused; });
  RawConnection first(listener->address());
  EXPECT_TRUE(first.Receive("hello"));
  RawConnection second(listener->address());
  EXPECT_TRUE(second.Receive("hello"));
  RawConnection third(listener->address());
  EXPECT_TRUE(third.AwaitEnd());
  EXPECT_EQ(refused, 1);
  listener->Close();
  EXPECT_EQ(host.accepted().size(), 2u);
}

// As a service that leaks does.
TEST(Listener, SaysThatItCannotAcceptWhileNoDescriptorIsLeft) {
  Host host;
  const auto listener = ListenOrDie();
  std::atomic<int> why{0};
  RawConnection caller(listener->address());  // Waits in the kernel.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(0);
  close(lowest_free);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  listener->Start(
      host.Accept(), INT_MAX, [] {},
      [&](int error) {
        why = error;
        why.notify_one();
      });
  why.wait(0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(why, EMFILE);
  EXPECT_TRUE(caller.Receive("hello"));
  listener->Close();
}

// Connects, and is gone again without a trace in the kernel.
void ConnectAndReset(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

// Each connection that is accepted makes the next one, so there is always one to accept. A close
// that does not bound its last look, or the one before, takes them all.
TEST(Listener, ClosesAlthoughACallerAlwaysWaits) {
  constexpr int kAll = 100000;
  const auto listener = ListenOrDie();
  const std::uint16_t port = listener->ports().front();
  std::atomic<bool> accepts{false};
  std::atomic<bool> closing{false};
  std::atomic<int> after{0};
  listener->Start([&](int, int fd) {
    close(fd);
    accepts = true;
    if (closing && ++after >= kAll) return;
    ConnectAndReset(port);
  });
  ConnectAndReset(port);
  ASSERT_TRUE(testkit::Eventually([&] { return accepts.load(); }));
  closing = true;
  listener->Close();
  EXPECT_LT(after, kAll);
}

TEST(Listener, NeverSharesItsPort) {
  const auto listener = ListenOrDie();
  const absl::Status second = BindError(listener->address());
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_THAT(std::string(second.message()), HasSubstr(listener->address()));
  EXPECT_THAT(std::string(second.message()), HasSubstr("choose another address"));
}

TEST(Listener, SaysThatAnotherWasFasterToListen) {
  const auto listener = BindOrDie();
  const auto slower = BindOrDie(listener->address());
  EXPECT_TRUE(listener->Listen().ok());
  const absl::Status late = slower->Listen();
  EXPECT_TRUE(absl::IsAlreadyExists(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr(listener->address()));
}

TEST(Listener, TakesAPortWhoseOldConnectionsLinger) {
  Host host;
  auto listener = ListenOrDie();
  const std::string address = listener->address();
  listener->Start(host.Accept());
  RawConnection caller(address);
  ASSERT_TRUE(caller.Receive("hello"));
  listener.reset();
  EXPECT_EQ(ListenOrDie(address)->address(), address);
}

TEST(Listener, NamesAnInvalidAddress) {
  for (const char* address : {"", ":", "localhost", "127.0.0.1:", ":80", "127.0.0.1:http",
                              "127.0.0.1:-1", "127.0.0.1:65536", "[]:80"}) {
    const absl::Status status = BindError(address);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << address << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("HOST:PORT"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("port from 0 to 65535"));
  }
}

TEST(Listener, NamesAHostThatDoesNotExist) {
  const absl::Status status = BindError("no-such-host.invalid:80");
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid"));
}

TEST(Listener, NamesAnAddressOfAnotherMachine) {
  const absl::Status status = BindError("192.0.2.1:0");  // RFC 5737: nobody's.
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("0.0.0.0"));
}

// Whether this machine has the address ::1.
bool HasIPv6() {
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  if (fd < 0) return false;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) == 0;
  close(fd);
  return bound;
}

TEST(Listener, ListensOnIPv6OrReportsNone) {
  Host host;
  const absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Bind("[::1]:0");
  if (!HasIPv6()) {
    EXPECT_TRUE(absl::IsInvalidArgument(listener.status())) << listener.status();
    EXPECT_THAT(std::string(listener.status().message()), HasSubstr("does not have that address"));
    return;
  }
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_THAT((*listener)->address(), MatchesRegex("\\[::1\\]:[0-9]+"));
  ASSERT_TRUE((*listener)->Listen().ok());
  (*listener)->Start(host.Accept());
  EXPECT_TRUE(RawConnection((*listener)->address()).Receive("hello"));
}

TEST(Listener, NamesAnUnsupportedAddressFamily) {
  const NoIPv6Sockets none;
  const absl::Status status = BindError("[::1]:0");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not have that address"));
}

TEST(Listener, ListensOnEveryAddressOfAName) {
  Host host;
  const auto listener = ListenOrDie(absl::StrCat(kTwoIPv4, ":0"));
  listener->Start(host.Accept());
  const std::string port = listener->address().substr(listener->address().rfind(':'));
  EXPECT_TRUE(RawConnection("127.0.0.1" + port).Receive("hello"));
  EXPECT_TRUE(RawConnection("127.0.0.2" + port).Receive("hello"));
}

TEST(Listener, ListensOnAllAddressesOrNone) {
  const auto second = ListenOrDie("127.0.0.2:0");
  const std::string port = second->address().substr(second->address().rfind(':'));
  const absl::Status status = BindError(kTwoIPv4 + port);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(ListenOrDie("127.0.0.1" + port)->address(), "127.0.0.1" + port);
}

TEST(Listener, ListensOnEveryAvailableFamilyOfAName) {
  Host host;
  const auto listener = ListenOrDie(absl::StrCat(kBothFamilies, ":0"));
  listener->Start(host.Accept());
  const std::string port = listener->address().substr(listener->address().rfind(':'));
  EXPECT_TRUE(RawConnection("127.0.0.1" + port).Receive("hello"));
  if (HasIPv6()) {
    EXPECT_TRUE(RawConnection("[::1]" + port).Receive("hello"));
  }
}

TEST(Listener, SkipsUnsupportedAddressFamilies) {
  const NoIPv6Sockets none;
  Host host;
  const auto listener = ListenOrDie(absl::StrCat(kBothFamilies, ":0"));
  EXPECT_THAT(listener->address(), MatchesRegex("127\\.0\\.0\\.1:[0-9]+"));
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
}

class ListenerOnASocketFile : public ::testing::Test {
 protected:
  ListenerOnASocketFile() { std::filesystem::remove(path_); }

  // A connection, or -1.
  int Connect() const {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) return fd;
    close(fd);
    return -1;
  }

  // Closes the connection.
  static bool IsGreeted(int fd) {
    char greeting[5];
    const bool greeted = recv(fd, greeting, sizeof greeting, MSG_WAITALL) == 5;
    close(fd);
    return greeted;
  }

  // Has the same sockets, and listens on them.
  std::unique_ptr<Listener> SuccessorOf(const Listener& old) const {
    InheritedSockets inherited;
    for (const int fd : old.Duplicate()) inherited.Add(fd, {"unix:" + path_});
    auto successor = Listener::Bind("unix:" + path_, &inherited);
    EXPECT_TRUE(successor.ok()) << successor.status();
    EXPECT_TRUE((*successor)->Listen().ok());
    return *std::move(successor);
  }

  // Short: a test's own directory may be longer than the name of a socket may be.
  const std::string path_ = testkit::UnusedSocketPath();
  Host host_;
};

TEST_F(ListenerOnASocketFile, HandsOverConnectionsAndRemovesItsFile) {
  const auto listener = ListenOrDie("unix:" + path_);
  EXPECT_EQ(listener->address(), "unix:" + path_);
  listener->Start(host_.Accept());
  const int fd = Connect();
  ASSERT_GE(fd, 0);
  char greeting[5];
  EXPECT_EQ(recv(fd, greeting, sizeof greeting, MSG_WAITALL), 5);
  listener->Close();
  EXPECT_FALSE(std::filesystem::exists(path_));
  listener->CutConnections();
  EXPECT_EQ(recv(fd, greeting, sizeof greeting, 0), 0);
  close(fd);
}

TEST_F(ListenerOnASocketFile, ReplacesAFileWithoutAListener) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path_.copy(name.sun_path, sizeof name.sun_path - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  close(fd);
  ListenOrDie("unix:" + path_);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ListenerOnASocketFile, LeavesAloneWhatIsNotItsOwn) {
  const auto listener = ListenOrDie("unix:" + path_);
  EXPECT_TRUE(absl::IsAlreadyExists(BindError("unix:" + path_)));
  // Another process has taken the name over.
  std::filesystem::remove(path_);
  std::ofstream(path_) << "precious";
  EXPECT_TRUE(absl::IsAlreadyExists(BindError("unix:" + path_)));
  listener->Close();
  EXPECT_TRUE(std::filesystem::exists(path_));
  std::filesystem::remove(path_);
}

TEST_F(ListenerOnASocketFile, StaysWithAPredecessorWhoseSuccessorEndsEarly) {
  const auto old = ListenOrDie("unix:" + path_);
  old->Start(host_.Accept());
  SuccessorOf(*old)->Close();
  EXPECT_TRUE(IsGreeted(Connect()));
}

TEST_F(ListenerOnASocketFile, IsLeftToASuccessorThatDoesNotAcceptYet) {
  const auto old = ListenOrDie("unix:" + path_);
  const auto next = SuccessorOf(*old);
  const int before = Connect();
  old->Start(host_.Accept());
  old->LeaveFileToSuccessor();
  old->Close();
  EXPECT_TRUE(IsGreeted(before));
  EXPECT_EQ(host_.accepted().size(), 1U);
  const int between = Connect();
  Host successor;
  next->Start(successor.Accept());
  EXPECT_TRUE(IsGreeted(between));
  EXPECT_TRUE(IsGreeted(Connect()));
  next->Close();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// All sockets of a .socket unit have one name.
TEST_F(ListenerOnASocketFile, IsOneOfSeveralSocketsOfItsName) {
  const auto first = ListenOrDie();
  const auto second = ListenOrDie();
  const auto file = ListenOrDie("unix:" + path_);
  InheritedSockets inherited;
  for (const Listener* const each : {first.get(), second.get(), file.get()}) {
    for (const int fd : each->Duplicate()) inherited.Add(fd, {"fd:orders"});
  }
  auto bound = Listener::Bind("fd:orders", &inherited);
  ASSERT_TRUE(bound.ok()) << bound.status();
  Listener& listener = **bound;
  EXPECT_EQ(listener.address(), first->address());
  EXPECT_THAT(listener.ports(), ElementsAre(first->ports().front(), second->ports().front()));
  ASSERT_TRUE(listener.Listen().ok());
  listener.Start(host_.Accept());
  RawConnection by_port(second->address());
  ASSERT_TRUE(by_port.Receive("hello"));
  ASSERT_TRUE(IsGreeted(Connect()));
  listener.Close();
  std::vector<int> seen;
  listener.ForEachConnection([&seen](int fd) { seen.push_back(fd); });
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_THAT(seen, UnorderedElementsAreArray(host_.accepted()));
  listener.CutConnections();
  EXPECT_TRUE(by_port.AwaitEnd());
}

TEST_F(ListenerOnASocketFile, NamesAPathThatCannotBe) {
  EXPECT_TRUE(absl::IsInvalidArgument(BindError("unix:")));
  EXPECT_TRUE(absl::IsInvalidArgument(BindError("unix:/" + std::string(200, 'x'))));
  EXPECT_FALSE(Listener::Bind("unix:/no/such/directory/socket").ok());
}

TEST(Listener, LooksAHostNameUp) {
  Host host;
  const auto listener = ListenOrDie("localhost:0");
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
}

TEST(Listener, LeavesNoDescriptorBehind) {
  const std::ptrdiff_t before = OpenDescriptors();
  {
    Host host;
    const auto listener = ListenOrDie();
    listener->Start(host.Accept());
    EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
    EXPECT_FALSE(Listener::Bind(listener->address()).ok());
  }
  { ListenOrDie(); }  // Never started.
  EXPECT_EQ(OpenDescriptors(), before);
}

// With no descriptor left it neither gives up nor hangs.
class ListenerWithoutDescriptors : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(caller_.connected());
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int lowest_free = dup(0);
    ASSERT_GE(lowest_free, 0);
    close(lowest_free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  void TearDown() override { setrlimit(RLIMIT_NOFILE, &before_); }

  Host host_;
  std::unique_ptr<Listener> listener_ = ListenOrDie();
  RawConnection caller_{listener_->address()};
  rlimit before_{};
};

TEST_F(ListenerWithoutDescriptors, AcceptsAgainWhenThereAreSome) {
  listener_->Start(host_.Accept());
  // Long enough to have found none; were it not, the test would prove less and not fail.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  setrlimit(RLIMIT_NOFILE, &before_);
  EXPECT_TRUE(caller_.Receive("hello"));
}

TEST_F(ListenerWithoutDescriptors, ClosesAllTheSame) {
  listener_->Start(host_.Accept());
  listener_->Close();
  EXPECT_TRUE(host_.accepted().empty());
  EXPECT_TRUE(caller_.AwaitEnd());
}

TEST(ListenerTest, CannotBeBoundWithoutAThread) {
  const testkit::NoThreads none;
  const absl::Status error = BindError("127.0.0.1:0");
  EXPECT_TRUE(absl::IsUnavailable(error)) << error;
  EXPECT_THAT(std::string(error.message()), HasSubstr("no thread"));
}

TEST(ListenerTest, StartsWhenNoMoreThreadsCanBeCreated) {
  Host host;
  const auto listener = ListenOrDie();
  const testkit::NoThreads none;
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
}

// A listening socket that somebody else has opened: what systemd keeps, or a predecessor.
class SharedSocketTest : public ::testing::Test {
 protected:
  SharedSocketTest() {
    keeper_ = BindOrDie();
    EXPECT_TRUE(keeper_->Listen().ok());
  }

  std::unique_ptr<Listener> Adopt(const std::string& name) {
    InheritedSockets inherited;
    for (const int fd : keeper_->Duplicate()) inherited.Add(fd, {name});
    auto listener = Listener::Bind(name, &inherited);
    EXPECT_TRUE(listener.ok()) << listener.status();
    EXPECT_FALSE(inherited.Has(name));
    EXPECT_TRUE((*listener)->Listen().ok());
    return *std::move(listener);
  }

  // It never accepts.
  std::unique_ptr<Listener> keeper_;
};

TEST_F(SharedSocketTest, IsListenedTo) {
  Host host;
  const auto listener = Adopt("fd:orders");
  EXPECT_EQ(listener->address(), keeper_->address());
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(listener->address()).Receive("hello"));
}

TEST_F(SharedSocketTest, KeepsWhoArrivesWhileNobodyAccepts) {
  Host first, second;
  auto listener = Adopt("fd:orders");
  listener->Start(first.Accept());
  listener->Close();
  RawConnection between(keeper_->address());
  EXPECT_TRUE(between.connected());
  const auto successor = Adopt("fd:orders");
  successor->Start(second.Accept());
  EXPECT_TRUE(between.Receive("hello"));
  EXPECT_TRUE(first.accepted().empty());
}

// A listener that is not started has a caller waiting when it is closed, whatever the threads do.
TEST_F(SharedSocketTest, ClosingLeavesWaitingCallersToOthers) {
  Host second;
  auto listener = Adopt("fd:orders");
  RawConnection waiting(keeper_->address());
  listener->Close();
  const auto successor = Adopt("fd:orders");
  successor->Start(second.Accept());
  EXPECT_TRUE(waiting.Receive("hello"));
}

TEST_F(SharedSocketTest, IsTakenOverByItsAddressName) {
  Host host;
  const auto listener = Adopt("localhost:50051");
  EXPECT_EQ(listener->address(), keeper_->address());
  listener->Start(host.Accept());
  EXPECT_TRUE(RawConnection(keeper_->address()).Receive("hello"));
}

TEST_F(SharedSocketTest, HasNoDuplicateOnceItIsClosed) {
  keeper_->Close();
  EXPECT_TRUE(keeper_->Duplicate().empty());
}

// As a .socket unit has it ("ListenStream=@NAME"), with a name that the kernel chooses.
class AbstractSocket {
 public:
  AbstractSocket() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sun_family = AF_UNIX;
    EXPECT_EQ(bind(fd_, Address(), sizeof address_.sun_family), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, Address(), &size_), 0);
  }

  std::unique_ptr<Listener> Adopt() const {
    InheritedSockets inherited;
    inherited.Add(fd_, {"fd:orders"});
    return *Listener::Bind("fd:orders", &inherited);
  }

  int Connect() {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, Address(), size_), 0);
    return fd;
  }

  std::string name() const {
    return std::string(address_.sun_path, size_ - offsetof(sockaddr_un, sun_path)).substr(1);
  }

 private:
  sockaddr* Address() { return reinterpret_cast<sockaddr*>(&address_); }

  const int fd_;
  sockaddr_un address_{};
  socklen_t size_ = sizeof address_;
};

TEST(ListenerTest, KeepsAbstractSocketsApart) {
  AbstractSocket orders, others;
  const auto listener = orders.Adopt();
  const auto other = others.Adopt();
  EXPECT_EQ(listener->address(), "unix-abstract:" + orders.name());
  Host host;
  listener->Start(host.Accept());
  const int caller = orders.Connect();
  char hello[5];
  EXPECT_EQ(recv(caller, hello, sizeof hello, MSG_WAITALL), 5);
  const auto connections = [](const Listener& of) {
    int count = 0;
    of.ForEachConnection([&count](int) { ++count; });
    return count;
  };
  EXPECT_EQ(connections(*listener), 1);
  EXPECT_EQ(connections(*other), 0);
  listener->Close();
  close(caller);
}

TEST(ListenerTest, HandsItsSocketFileOverToItsSuccessor) {
  Host host;
  const std::string path = testkit::UnusedSocketPath();
  auto old = ListenOrDie("unix:" + path);
  InheritedSockets inherited;
  for (const int fd : old->Duplicate()) inherited.Add(fd, {"unix:" + path});
  auto next = Listener::Bind("unix:" + path, &inherited);
  ASSERT_TRUE(next.ok()) << next.status();
  old->LeaveToSuccessor();
  old->Close();
  EXPECT_TRUE(std::filesystem::exists(path));
  ASSERT_TRUE((*next)->Listen().ok());
  (*next)->Start(host.Accept());
  (*next)->Close();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ListenerTest, NamesASocketThatWasNotPassed) {
  EXPECT_THAT(
      std::string(BindError("fd:orders").message()),
      AllOf(HasSubstr("fd:orders: no socket was passed"), HasSubstr("FileDescriptorName=")));
  InheritedSockets inherited;
  inherited.Add(dup(STDERR_FILENO), {"fd:admin"});
  const absl::Status error = Listener::Bind("fd:orders", &inherited).status();
  EXPECT_TRUE(absl::IsNotFound(error)) << error;
  EXPECT_THAT(std::string(error.message()), HasSubstr("fd:orders: fd:admin was passed"));
}

TEST(ListenerTest, RefusesToListenOnWhatDoesNot) {
  InheritedSockets inherited;
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  inherited.Add(pair[0], {"fd:pair"});
  inherited.Add(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), {"fd:datagrams"});
  inherited.Add(open("/dev/null", O_RDONLY | O_CLOEXEC), {"fd:file"});
  for (const char* name : {"fd:pair", "fd:datagrams", "fd:file"}) {
    const absl::Status error = Listener::Bind(name, &inherited).status();
    EXPECT_TRUE(absl::IsInvalidArgument(error)) << error;
    EXPECT_THAT(std::string(error.message()),
                AllOf(HasSubstr(name), HasSubstr("not a listening stream socket")));
  }
  close(pair[1]);
}

}  // namespace
}  // namespace rpc
