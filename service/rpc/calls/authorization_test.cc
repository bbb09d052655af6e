#include "service/rpc/calls/authorization.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "gtest/gtest.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/self_signed.h"
#include "service/rpc/tls/tls.h"
#include "service/rpc/tls/tls_files.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Error(const std::string& policy) {
  const absl::Status status = Authorization::Parse(policy).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(AuthorizationPolicy, NamesTheLineThatIsWrong) {
  EXPECT_EQ(Error("# nothing\n\n"), "has no rule, so nobody could call anything");
  EXPECT_EQ(Error("\n/a.B/C"), "line 2: who may call /a.B/C?");
  for (const char* method : {"a.B/C", "/a.B", "/a.B/", "//C", "/a.B/C/D", "/a.B/C*", "/*/C"}) {
    EXPECT_EQ(
        Error(std::string(method) + " everyone"),
        std::string("line 1: \"") + method + "\" is no method: /SERVICE/METHOD or /SERVICE/*");
  }
  for (const char* name :
       {"bob", "uri:", "dns:*.shop", "Everyone", "dns:a.shop#desk", "ip:10.0.0.1#desk"}) {
    EXPECT_THAT(Error(std::string("/a.B/C ") + name),
                HasSubstr(std::string("line 1: \"") + name + "\" is no name: "));
  }
  EXPECT_EQ(Error("/a.B/C everyone dns:a"), "line 1: \"everyone\" stands alone");
  EXPECT_EQ(Error("/a.B/C dns:a\n/a.B/C dns:b"), "line 2: /a.B/C has a rule in line 1");
  EXPECT_EQ(Error(std::string("/a.B/C d\0\n", 9)),
            "line 1: \"d\\x00\" is no name: uri:, dns:, email:, ip: or token:NAME, authenticated, "
            "everyone");
}

TEST(AuthorizationPolicy, NamesTheFileThatIsWrong) {
  const testkit::TempDir directory;
  const std::string path = directory.File("policy");
  EXPECT_EQ(std::string(Authorization::FromFile(path).status().message()),
            "cannot read " + path + ": No such file or directory");
  std::ofstream(path) << "what?";
  EXPECT_THAT(std::string(Authorization::FromFile(path).status().message()),
              HasSubstr(path + ": line 1: "));
}

TEST(AuthorizationPolicy, KnowsTheMethodsOfItsServer) {
  const auto policy = Authorization::Parse("/a.B/* everyone\n/a.B/C everyone\n");
  ASSERT_TRUE(policy.ok());
  (*policy)->AddMethods({"/a.B/D"});
  EXPECT_EQ(std::string((*policy)->CheckMethods().message()),
            "the authorization policy, line 2: this server has no method /a.B/C");
  (*policy)->AddMethods({"/a.B/C"});
  EXPECT_TRUE((*policy)->CheckMethods().ok());
}

// A service of one method, without a proto.
class Other final : public grpc::Service {
 public:
  Other() {
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/other.Other/Ask", grpc::internal::RpcMethod::NORMAL_RPC, new Nothing()));
  }

 private:
  struct Nothing final : grpc::internal::MethodHandler {
    void RunHandler(const HandlerParameter&) override {}
  };
};

// Two servers with different services.
class SharedPolicyTest : public testing::Test {
 protected:
  // Lets callers in, as a process does when all its servers have started.
  absl::Status Open(const std::string& policy) {
    const auto parsed = Authorization::Parse(policy);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    const ServerHost::Options options = {.authorization = *parsed};
    one_.emplace(options, Services{std::make_shared<ProbeService>()}, goodbye_);
    other_.emplace(options, Services{std::make_shared<Other>()}, goodbye_);
    for (auto* const each : {&*one_, &*other_}) {
      if (absl::Status started = each->Start(); !started.ok()) return started;
    }
    lifecycle::TrafficGroup both({&*one_, &*other_});
    absl::Status opened = both.Open();
    if (opened.ok()) both.CloseListener();
    return opened;
  }

 private:
  using Services = std::vector<std::shared_ptr<grpc::Service>>;

  GoodbyeSignal goodbye_;
  std::optional<ServerHost> one_, other_;
};

TEST_F(SharedPolicyTest, HasRulesForTheMethodsOfEachServer) {
  const absl::Status opened = Open("/probe.Probe/* everyone\n/other.Other/Ask everyone\n");
  EXPECT_TRUE(opened.ok()) << opened;
}

TEST_F(SharedPolicyTest, ARuleForNoServersMethodLetsNobodyIn) {
  const absl::Status opened = Open("/probe.Probe/* everyone\n/other.Other/Tell everyone\n");
  EXPECT_TRUE(absl::IsInvalidArgument(opened)) << opened;
  EXPECT_THAT(std::string(opened.message()), HasSubstr("line 2: this server has no method"));
}

// A server with mutual TLS, optional for its callers, and a policy.
class AuthorizationTest : public testing::Test {
 protected:
  ~AuthorizationTest() override {
    if (host_) host_->CloseListener();
  }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = directory_.File(name);
    std::ofstream(path) << text;
    return path;
  }

  absl::Status Serve(const std::string& policy) { return Serve(*Authorization::Parse(policy)); }

  absl::Status Serve(std::shared_ptr<Authorization> policy) {
    const auto files = TlsFiles::Open({Write("certificate", server_.certificate),
                                       Write("key", server_.key), Write("ca", trusted_)});
    EXPECT_TRUE(files.ok()) << files.status();
    policy_ = std::move(policy);
    policy_->SetTokenCheck([](const std::string& token) -> std::optional<std::string> {
      if (token == "throw") throw std::runtime_error("no table");
      if (token != "secret") return std::nullopt;
      return "importer";
    });
    host_.emplace(
        ServerHost::Options{.credentials = ServerTls(*files, CallerCertificate::kOptional),
                            .authorization = policy_,
                            // Those of a slow machine are, and the log would say so.
                            .blocked_threads = {.blocked = std::chrono::hours(1)},
                            .log =
                                [this](const std::string& line) {
                                  std::lock_guard lock(mutex_);
                                  lines_.push_back(line);
                                }},
        std::vector<std::shared_ptr<grpc::Service>>{service_}, goodbye_);
    const absl::Status started = host_->Start();
    return started.ok() ? host_->Open() : started;
  }

  std::shared_ptr<grpc::Channel> Connect(const SelfSigned* shows = nullptr) {
    return NewConnection(host_->address(), server_.Caller(shows));
  }

  static grpc::Status Echo(const std::shared_ptr<grpc::Channel>& channel,
                           const std::string& authorization = "") {
    const auto context = Bounded();
    if (!authorization.empty()) context->AddMetadata("authorization", authorization);
    probe::Note note;
    note.set_text(std::string(1000, 'x'));  // Its memory is not a string's own.
    return probe::Probe::NewStub(channel)->Echo(context.get(), note, &note);
  }

  const testkit::TempDir directory_;
  const SelfSigned server_;
  const SelfSigned checkout_{{.names = "URI:spiffe://shop/checkout"}};
  const SelfSigned support_{{.names = "DNS:support.shop"}};
  std::string trusted_ = checkout_.certificate + support_.certificate;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
  const std::shared_ptr<ProbeService> service_ = std::make_shared<ProbeService>();
  GoodbyeSignal goodbye_;
  std::shared_ptr<Authorization> policy_;
  std::optional<ServerHost> host_;
};

TEST_F(AuthorizationTest, AllowsWhomTheRuleNames) {
  ASSERT_TRUE(Serve("/probe.Probe/* uri:spiffe://shop/* token:importer").ok());
  EXPECT_TRUE(Echo(Connect(&checkout_)).ok());
  EXPECT_TRUE(Echo(Connect(), "Bearer secret").ok());
  EXPECT_TRUE(Echo(Connect(&support_), "bearer secret").ok());

  const grpc::Status nobody = Echo(Connect());
  EXPECT_EQ(nobody.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(nobody.error_message(), "authentication is required");
  EXPECT_EQ(Echo(Connect(), "Bearer guess").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Echo(Connect(), "secret").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const grpc::Status support = Echo(Connect(&support_));
  EXPECT_EQ(support.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(support.error_message(), "not allowed");

  host_->CloseListener();
  host_.reset();
  std::lock_guard lock(mutex_);
  EXPECT_THAT(lines_,
              ElementsAre(HasSubstr("1 time in the last minute (/probe.Probe/Echo from ipv"),
                          HasSubstr(" as dns:support.shop"), HasSubstr("no name: 2 times")));
}

// WebID and the like put it there: what is before it may be somebody else.
TEST_F(AuthorizationTest, AFragmentBelongsToTheName) {
  const SelfSigned whole({.names = "URI:https://alice.example/profile#me"});
  const SelfSigned part({.names = "URI:https://alice.example/profile"});
  const auto policy = Authorization::Parse(
      "#nothing\n"
      "\t#nothing\n"
      "/probe.Probe/* uri:https://alice.example/profile#me dns:support.shop\t#dns:nobody\n");
  ASSERT_TRUE(policy.ok()) << policy.status();
  trusted_ += whole.certificate + part.certificate;
  ASSERT_TRUE(Serve(*policy).ok());
  EXPECT_TRUE(Echo(Connect(&whole)).ok());
  EXPECT_TRUE(Echo(Connect(&support_)).ok());
  EXPECT_EQ(Echo(Connect(&part)).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

// Which one counts would be for the order to say, or for a proxy that has checked the other.
TEST_F(AuthorizationTest, TwoTokensProveNothing) {
  ASSERT_TRUE(Serve("/probe.Probe/* token:importer").ok());
  const auto context = Bounded();
  context->AddMetadata("authorization", "Bearer secret");
  context->AddMetadata("authorization", "Bearer guess");
  probe::Note note;
  const auto stub = probe::Probe::NewStub(Connect());
  EXPECT_EQ(stub->Echo(context.get(), note, &note).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AuthorizationTest, ACheckThatThrowsLetsNobodyThrough) {
  ASSERT_TRUE(Serve("/probe.Probe/* token:importer").ok());
  const auto channel = Connect();
  const grpc::Status unknown = Echo(channel, "Bearer throw");
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(unknown.error_message(), "the handler failed");
  EXPECT_EQ(host_->Refused().failed_handlers, 1);
  EXPECT_TRUE(Echo(channel, "Bearer secret").ok());
  std::lock_guard lock(mutex_);
  EXPECT_THAT(lines_, ElementsAre(HasSubstr("a handler failed: 1 time in the last minute "
                                            "(/probe.Probe/Echo: no table)")));
}

TEST_F(AuthorizationTest, AMethodsRuleComesBeforeItsServices) {
  ASSERT_TRUE(Serve("/probe.Probe/* everyone\n/probe.Probe/Echo authenticated").ok());
  EXPECT_EQ(Echo(Connect()).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(Echo(Connect(&support_)).ok());
}

TEST_F(AuthorizationTest, AllowsNobodyWhatHasNoRule) {
  ASSERT_TRUE(Serve("/probe.Probe/Watch everyone").ok());
  EXPECT_EQ(Echo(Connect(&checkout_)).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AuthorizationTest, RefusesStreamsOfEachKind) {
  if (UndefinedBehaviourIsWatched()) GTEST_SKIP() << "gRPC's header would be objected to";
  ASSERT_TRUE(Serve("/probe.Probe/Echo everyone").ok());
  const auto channel = Connect(&checkout_);
  for (const char* method : {"Watch", "Chat", "Gather"}) {
    RawStream stream(channel, std::string("/probe.Probe/") + method);
    stream.Ask("");
    EXPECT_EQ(stream.AwaitEnd().error_code(), grpc::StatusCode::PERMISSION_DENIED) << method;
  }
}

TEST_F(AuthorizationTest, LeavesHealthToEverybody) {
  ASSERT_TRUE(Serve("/probe.Probe/Echo dns:support.shop").ok());
  RawStream health(Connect(), "/grpc.health.v1.Health/Watch");
  EXPECT_EQ(health.Ask(""), std::string("\b\1", 2));
}

// As a careful tool replaces it: nobody sees half of it.
TEST_F(AuthorizationTest, FollowsItsFile) {
  const std::string path = Write("policy", "/probe.Probe/Echo dns:support.shop");
  const auto change = [&](const std::string& policy) {
    const std::string next = Write("policy.new", policy);
    ASSERT_EQ(std::rename(next.c_str(), path.c_str()), 0);
  };
  const auto policy = Authorization::FromFile(path, std::chrono::milliseconds(5));
  ASSERT_TRUE(policy.ok()) << policy.status();
  ASSERT_TRUE(Serve(*policy).ok());
  const auto checkout = Connect(&checkout_);
  EXPECT_EQ(Echo(checkout).error_code(), grpc::StatusCode::PERMISSION_DENIED);

  change("/probe.Probe/Echo uri:spiffe://shop/checkout");
  EXPECT_TRUE(testkit::Eventually([&] { return Echo(checkout).ok(); }));
  EXPECT_EQ(Echo(Connect(&support_)).error_code(), grpc::StatusCode::PERMISSION_DENIED);

  const auto said = [this](const std::string& words) {
    std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(), [&](const std::string& line) {
      return line.find(words) != std::string::npos;
    });
  };
  change("/probe.Probe/Echo nobody");
  EXPECT_TRUE(testkit::Eventually([&] { return said(path + ": line 1: \"nobody\" is no name"); }));
  change("/probe.Probe/Ecko everyone");
  EXPECT_TRUE(testkit::Eventually([&] { return said("no method /probe.Probe/Ecko"); }));
  std::remove(path.c_str());
  EXPECT_TRUE(testkit::Eventually([&] { return said("cannot read " + path); }));
  EXPECT_TRUE(said("; the previous policy is in force until it is right"));
  EXPECT_TRUE(Echo(checkout).ok());
}

TEST_F(AuthorizationTest, ARuleForNoMethodStartsNoServer) {
  const absl::Status status = Serve("/probe.Probe/Ecko everyone");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no method /probe.Probe/Ecko"));
}

}  // namespace
}  // namespace rpc
