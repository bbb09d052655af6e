#include "service/rpc/blocked_threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <list>
#include <memory>
#include <optional>
#include <thread>

#include "grpc/support/cpu.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;

// Of a call that leads nowhere.
struct Call {
  grpc::ClientContext context;
  const grpc::Slice nothing;
  const grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;
};

// Blocks as many of gRPC's threads as there can be, until it goes.
class Blocker {
 public:
  Blocker() {
    for (int i = 0; i < 16; ++i) {
      Awaited& call = calls_.emplace_back();
      stub_.UnaryCall(&call.context, "/nowhere/Blocks", {}, &call.request, &call.response,
                      [this, &call](const grpc::Status&) {
                        free_.wait();
                        call.ended.set_value();
                      });
    }
  }
  ~Blocker() {
    released_.set_value();
    for (Awaited& call : calls_) call.ended.get_future().wait();
  }

 private:
  struct Awaited : Call {
    std::promise<void> ended;
  };

  std::promise<void> released_;
  std::shared_future<void> free_ = released_.get_future().share();
  grpc::GenericStub stub_{grpc::CreateChannel("", nullptr)};
  std::list<Awaited> calls_;
};

// Returns once all of gRPC's threads are free at the same time.
void MeetAllThreads() {
  // completion_queue_cc.cc, CallbackAlternativeCQ::Ref(); newer gRPC has more of them.
  const unsigned threads = std::clamp(gpr_cpu_num_cores() / 2, 2U, 16U);
  std::latch meeting(threads);
  std::latch ended(threads);
  grpc::GenericStub stub(grpc::CreateChannel("", nullptr));
  std::list<Call> calls(threads);
  for (Call& call : calls) {
    stub.UnaryCall(&call.context, "/nowhere/Meets", {}, &call.request, &call.response,
                   [&](const grpc::Status&) {
                     meeting.arrive_and_wait();
                     ended.count_down();
                   });
  }
  ended.wait();
}

TEST(BlockedThreads, AreReportedOnceInAWhile) {
  std::atomic<int> told = 0;
  {
    const Blocker blocker;
    const BlockedThreads blocked([&told] { ++told; }, milliseconds(1));
    ASSERT_TRUE(testkit::Eventually([&] { return told > 0; }));
    EXPECT_TRUE(blocked.blocked());
    std::this_thread::sleep_for(milliseconds(20));  // Were it told again, it would be now.
  }
  EXPECT_EQ(told, 1);
}

TEST(BlockedThreads, AreNotBlockedOnceTheyHaveRecovered) {
  std::optional<Blocker> blocker(std::in_place);
  const BlockedThreads blocked([] {}, milliseconds(1));
  EXPECT_TRUE(testkit::Eventually([&] { return blocked.blocked(); }));
  blocker.reset();
  EXPECT_TRUE(testkit::Eventually([&] { return !blocked.blocked(); }));
}

// gRPC's threads release the last channel, which ends them if there is no other.
TEST(BlockedThreads, MayRecoverWhenNobodyElseHasAChannel) {
  std::promise<void> released;
  const std::shared_future<void> free = released.get_future().share();
  for (int i = 0; i < 16; ++i) {
    const auto call = std::make_shared<Call>();
    grpc::GenericStub(grpc::CreateChannel("", nullptr))
        .UnaryCall(&call->context, "/nowhere/Blocks", {}, &call->request, &call->response,
                   [call, free](const grpc::Status&) { free.wait(); });
  }
  {
    const BlockedThreads blocked([] {}, milliseconds(1));
    ASSERT_TRUE(testkit::Eventually([&] { return blocked.blocked(); }));
  }
  released.set_value();
  const Blocker calls_that_come_back;
}

TEST(BlockedThreads, DoNotWaitForTheReportAboutThem) {
  std::optional<Blocker> blocker(std::in_place);
  std::promise<void> reporting;
  std::promise<void> recovered;
  std::future<void> until_recovered = recovered.get_future();
  std::future_status seen_by_the_report = std::future_status::timeout;
  const BlockedThreads blocked(
      [&] {
        reporting.set_value();
        seen_by_the_report = until_recovered.wait_for(std::chrono::seconds(30));
      },
      milliseconds(1));
  reporting.get_future().wait();
  blocker.reset();
  MeetAllThreads();  // One of them has taken back the call that found them blocked.
  recovered.set_value();
  EXPECT_TRUE(testkit::Eventually([&] { return !blocked.blocked(); }));
  EXPECT_EQ(seen_by_the_report, std::future_status::ready);
}

TEST(BlockedThreads, ThatRecoverInTimeAreNotReported) {
  std::atomic<int> told = 0;
  {
    const BlockedThreads blocked([&told] { ++told; }, std::chrono::seconds(60));
    const Blocker calls_that_come_back;
  }
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace rpc
