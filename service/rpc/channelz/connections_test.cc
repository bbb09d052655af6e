#include "service/rpc/channelz/connections.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe_service.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

// A server, and the records of its connections.
struct Bare {
  Bare() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.RegisterService(&service);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    server = Connections::BuildAndStart(builder, connections);
    address = "127.0.0.1:" + std::to_string(port);
  }

  ProbeService service;
  Connections connections;
  std::unique_ptr<grpc::Server> server;
  std::string address;
};

TEST(Connections, AreNoneWithoutAServer) { EXPECT_FALSE(Connections().Any()); }

TEST(Connections, AreSeenWhenTheyComeAndGo) {
  Bare bare;
  EXPECT_FALSE(bare.connections.Any());
  {
    RawConnection first(bare.address);
    first.Send(Http2Preface());
    EXPECT_TRUE(testkit::Eventually([&] { return bare.connections.Any(); }));
    RawConnection second(bare.address);
    second.Send(Http2Preface());
  }
  EXPECT_TRUE(testkit::Eventually([&] { return !bare.connections.Any(); }));
}

TEST(Connections, AreCountedHoweverManyThereAre) {
  EXPECT_EQ(Connections().Count(), 0);
  Bare bare;
  // gRPC tells of five hundred sockets at a time.
  constexpr int kCallers = 520;
  std::vector<std::unique_ptr<RawConnection>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<RawConnection>(bare.address));
    callers.back()->Send(Http2Preface());
  }
  EXPECT_TRUE(testkit::Eventually([&] { return bare.connections.Count() == kCallers; }))
      << bare.connections.Count();
  callers.resize(2);
  EXPECT_TRUE(testkit::Eventually([&] { return bare.connections.Count() == 2; }));
}

TEST(Connections, AreNoneOnceTheServerIsGone) {
  Bare bare;
  RawConnection caller(bare.address);
  caller.Send(Http2Preface());
  EXPECT_TRUE(testkit::Eventually([&] { return bare.connections.Any(); }));
  bare.server->Shutdown(std::chrono::system_clock::now());
  bare.server.reset();
  // A newer gRPC lets go of them on a thread of its own.
  EXPECT_TRUE(testkit::Eventually([&] { return !bare.connections.Any(); }));
}

TEST(Connections, AreOnlyThoseOfTheirOwnServer) {
  // gRPC tells of a hundred servers at a time.
  std::vector<std::unique_ptr<Bare>> all(110);
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 4; ++first) {
    threads.emplace_back([&all, first] {
      for (std::size_t i = first; i < all.size(); i += 4) all[i] = std::make_unique<Bare>();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::unique_ptr<RawConnection>> callers;
  for (std::size_t connected = 0; connected < all.size(); ++connected) {
    for (std::size_t i = connected; i < all.size(); ++i) {
      ASSERT_FALSE(all[i]->connections.Any()) << i << " when " << connected << " are connected";
    }
    callers.push_back(std::make_unique<RawConnection>(all[connected]->address));
    callers.back()->Send(Http2Preface());
    ASSERT_TRUE(testkit::Eventually([&] { return all[connected]->connections.Any(); }))
        << connected;
  }
}

}  // namespace
}  // namespace rpc
