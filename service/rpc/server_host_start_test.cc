// How a server starts, and what becomes of one that cannot.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/host_under_test.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/eventually.h"
#include "tests/common/socket_path.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using ::testing::HasSubstr;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

using ServerHostStartTest = HostUnderTest;

TEST_F(ServerHostStartTest, HasNoAddressBeforeItStarts) {
  EXPECT_EQ(ServerHost({}, Services(), goodbye_).address(), "");
}

TEST_F(ServerHostStartTest, SaysThatItHasNothingToServe) {
  ServerHost host({}, {}, goodbye_);
  const absl::Status started = host.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(started));
  EXPECT_THAT(std::string(started.message()), HasSubstr("needs a service"));
}

// It would say that it serves, and its shutdown would find no server to end.
TEST_F(ServerHostStartTest, LetsNobodyInWhenItsStartWasForgotten) {
  ServerHost host({}, Services(), goodbye_);
  const absl::Status opened = host.Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(opened)) << opened;
  EXPECT_THAT(std::string(opened.message()), HasSubstr("call its Start() first"));
  if (opened.ok()) host.CloseListener();
}

TEST_F(ServerHostStartTest, LetsNobodyInWhenOneOfItsGroupWasNotStarted) {
  host_.emplace(ServerHost::Options(), Services(), goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  ServerHost forgotten({}, {std::make_shared<ProbeService>()}, goodbye_);
  lifecycle::TrafficGroup group({&*host_, &forgotten});
  const absl::Status opened = group.Open();
  EXPECT_TRUE(absl::IsFailedPrecondition(opened)) << opened;
  EXPECT_FALSE(RawPeer(host_->address()).open()) << "nobody waits there in vain";
  if (opened.ok()) group.CloseListener();
}

TEST_F(ServerHostStartTest, SaysThatItWasStartedBefore) {
  ServerHost host({}, Services(), goodbye_);
  ASSERT_TRUE(host.Start().ok());
  const absl::Status again = host.Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(again)) << again;
  EXPECT_THAT(std::string(again.message()), HasSubstr("was started before"));
}

TEST_F(ServerHostStartTest, SaysThatAServiceIsNull) {
  ServerHost host({}, {service_, nullptr}, goodbye_);
  const absl::Status started = host.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("is null"));
}

TEST_F(ServerHostStartTest, RefusesAPortThatItCannotCloseFirst) {
  ServerHost host({.prepare =
                       [](grpc::ServerBuilder& builder) {
                         builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials());
                       }},
                  Services(), goodbye_);
  const absl::Status started = host.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(started));
  EXPECT_THAT(std::string(started.message()), HasSubstr("more_endpoints"));
}

TEST_F(ServerHostStartTest, ListensOnSeveralAddressesOfOneFlag) {
  const std::string path = testkit::UnusedSocketPath();
  Start({.address = "127.0.0.1:0,unix:" + path});
  EXPECT_TRUE(Echo(Connect()).ok());
  EXPECT_TRUE(Echo(NewConnection("unix:" + path)).ok());
}

// As a .socket unit has it ("ListenStream=@NAME"), with a name that the kernel chooses.
TEST_F(ServerHostStartTest, NamesAnAbstractSocketAsGrpcsChannelsDo) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr no_name{.sa_family = AF_UNIX, .sa_data = {}};
  ASSERT_EQ(bind(fd, &no_name, sizeof no_name.sa_family), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  auto inherited = std::make_shared<InheritedSockets>();
  inherited->Add(fd, {"fd:orders"});
  Start({.address = "fd:orders", .inherited = inherited});
  EXPECT_THAT(host_->address(), ::testing::StartsWith("unix-abstract:"));
  EXPECT_TRUE(Echo(Connect()).ok());
  host_->CloseListener();
}

TEST_F(ServerHostStartTest, CannotStartOnAnAddressInUse) {
  Start();
  ServerHost second({.address = host_->address()}, Services(), goodbye_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.Start()));
  EXPECT_TRUE(Echo(Connect()).ok());
}

TEST_F(ServerHostStartTest, RefusesATakeoverAtItsOwnSocketFile) {
  const std::string path = testkit::UnusedSocketPath();
  ServerHost host({.address = "127.0.0.1:0,unix:" + path, .takeover = path}, Services(), goodbye_);
  const absl::Status started = host.Start();
  EXPECT_TRUE(absl::IsInvalidArgument(started)) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr("name another path"));
}

TEST_F(ServerHostStartTest, WritesThePortFileWholeOrNot) {
  const std::string directory = ::testing::TempDir() + "port_file";
  std::filesystem::create_directory(directory);
  const std::string path = directory + "/port";
  std::string seen;
  std::thread watching([&] {
    EXPECT_TRUE(testkit::Eventually([&] { return std::filesystem::exists(path); }));
    seen = Read(path);
  });
  Start({.port_file = path});
  watching.join();
  EXPECT_EQ(seen, host_->address() + "\n");
  EXPECT_TRUE(Echo(NewConnection(seen.substr(0, seen.size() - 1))).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}), 1);
  std::filesystem::remove_all(directory);
}

// Else who has two would wait for the one that is about to start, up to gRPC's 20 s.
TEST_F(ServerHostStartTest, RefusesCallersUntilItIsOpened) {
  Start();
  GoodbyeSignal goodbye;
  ServerHost starting({}, Services(), goodbye);
  ASSERT_TRUE(starting.Start().ok());
  EXPECT_FALSE(RawConnection(starting.address()).connected());
  EXPECT_TRUE(Echo(NewConnection("ipv4:" + starting.address() + "," + host_->address())).ok());
  ASSERT_TRUE(starting.Open().ok());
  EXPECT_TRUE(Echo(NewConnection(starting.address())).ok());
  starting.CloseListener();
}

TEST_F(ServerHostStartTest, ServesNobodyWithoutItsPortFile) {
  const std::string path = ::testing::TempDir() + "no_such_directory/port";
  host_.emplace(ServerHost::Options{.port_file = path}, Services(), goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  const absl::Status opened = host_->Open();
  EXPECT_TRUE(absl::IsUnavailable(opened)) << opened;
  EXPECT_THAT(std::string(opened.message()), HasSubstr(path));
  EXPECT_THAT(std::string(opened.message()), HasSubstr("there is no directory"));
  RawConnection caller(host_->address());
  caller.Send(Http2Preface());
  host_.reset();
  EXPECT_FALSE(caller.Receive(std::string("\0\0", 2))) << "it was connected";
}

TEST_F(ServerHostStartTest, LetsNobodyInWhenAnotherOfItsGroupCannotListen) {
  host_.emplace(ServerHost::Options(), Services(), goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  std::optional<RawConnection> caller;
  lifecycle::FakeTraffic other;
  other.listens = absl::UnavailableError("no port file");
  other.on_call = [&](const std::string& step) {
    ASSERT_EQ(step, "Listen");
    caller.emplace(host_->address()).Send(Http2Preface());
  };
  EXPECT_EQ(lifecycle::TrafficGroup({&*host_, &other}).Open(), other.listens);
  EXPECT_EQ(host_->Look().connections, 0);
  host_.reset();
  EXPECT_FALSE(caller->Receive(std::string("\0\0", 2))) << "it was connected";
}

TEST_F(ServerHostStartTest, LeavesItsPredecessorServingWhenAnotherOfItsGroupCannotListen) {
  std::promise<std::string> heard;
  const std::string path = testkit::UnusedSocketPath();
  ServerHost old({.takeover = path,
                  .log =
                      [&heard](const std::string& line) {
                        if (absl::StrContains(line, "before it served")) heard.set_value(line);
                      }},
                 Services(), goodbye_);
  old.OnHandover([&heard](const std::string&) { heard.set_value("handed over"); });
  ASSERT_TRUE(old.Start().ok());
  ASSERT_TRUE(old.Open().ok());
  std::optional<ServerHost> next;
  next.emplace(ServerHost::Options{.takeover = path},
               std::vector<std::shared_ptr<grpc::Service>>{std::make_shared<ProbeService>()},
               goodbye_);
  ASSERT_TRUE(next->Start().ok());
  lifecycle::FakeTraffic other;
  other.listens = absl::UnavailableError("no port file");
  EXPECT_EQ(lifecycle::TrafficGroup({&*next, &other}).Open(), other.listens);
  next.reset();
  EXPECT_THAT(heard.get_future().get(), HasSubstr("this one goes on"));
  EXPECT_TRUE(std::filesystem::exists(path)) << "the next one finds it";
  EXPECT_TRUE(Echo(NewConnection(old.address())).ok());
  old.CloseListener();
}

TEST_F(ServerHostStartTest, ServesAndSaysSoWhenItsSuccessorWillNotFindIt) {
  const testkit::TempDir parent("/tmp");
  std::filesystem::create_directory(parent.File("run"));
  const int passed = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(listen(passed, 1), 0);
  std::vector<std::string> lines;
  const auto options = [&] {
    ServerHost::Options with_socket = {
        .address = "fd:orders",
        .inherited = std::make_shared<InheritedSockets>(),
        .takeover = parent.File("run/socket"),
        // No line of how busy this machine is.
        .blocked_threads = {std::chrono::minutes(1)},
        .log = [&lines](const std::string& line) { lines.push_back(line); }};
    with_socket.inherited->Add(dup(passed), {"fd:orders"});
    return with_socket;
  };
  host_.emplace(options(), Services(), goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  host_->OnHandover([](const std::string& to) { ADD_FAILURE() << to; });
  std::filesystem::rename(parent.File("run"), parent.File("gone"));
  EXPECT_TRUE(host_->Open().ok());
  EXPECT_THAT(lines, ::testing::ElementsAre(::testing::AllOf(
                         HasSubstr("the next process will not find this one"),
                         HasSubstr("must be stopped by hand: cannot take over at "))));
  EXPECT_TRUE(Echo(Connect()).ok());
  // One with the same socket of systemd serves beside it.
  std::filesystem::create_directory(parent.File("run"));
  ServerHost next(options(), {std::make_shared<ProbeService>()}, goodbye_);
  ASSERT_TRUE(next.Start().ok());
  EXPECT_TRUE(next.Open().ok());
  // As in a manual drain, which takes no caller from the other one.
  next.CloseListener();
  next.WarnIfCallersWait();
  EXPECT_THAT(lines.back(), HasSubstr("nobody is refused at " + host_->address() + ": "));
  EXPECT_TRUE(Echo(Connect()).ok());
  host_->CloseListener();
  host_.reset();
  close(passed);
}

TEST_F(ServerHostStartTest, LeavesItsSocketFileToASuccessorThatDoesNotServeYet) {
  const std::string path = testkit::UnusedSocketPath();
  const ServerHost::Options options = {.address = "unix:" + path,
                                       .takeover = testkit::UnusedSocketPath()};
  ServerHost old(options, Services(), goodbye_);
  ASSERT_TRUE(old.Start().ok());
  ASSERT_TRUE(old.Open().ok());
  ServerHost next(options, {std::make_shared<ProbeService>()}, goodbye_);
  ASSERT_TRUE(next.Start().ok());
  old.CloseListener();
  ASSERT_TRUE(next.Open().ok());
  EXPECT_TRUE(Echo(NewConnection("unix:" + path)).ok());
  next.CloseListener();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace rpc
