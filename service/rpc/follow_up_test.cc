#include "service/rpc/follow_up.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include "grpc/grpc.h"
#include "grpc/support/time.h"
#include "grpcpp/completion_queue.h"
#include "gtest/gtest.h"

namespace rpc {
namespace {

// A queue, and operations whose ends it reports when they begin: those of calls that nobody serves.
class FollowUpTest : public testing::Test {
 protected:
  // As the callback API has it.
  class Operation : public grpc_completion_queue_functor {
   public:
    Operation(grpc_channel* channel, grpc_completion_queue* queue, std::function<void()> ended)
        : call_(grpc_channel_create_call(channel, nullptr, GRPC_PROPAGATE_DEFAULTS, queue,
                                         grpc_slice_from_static_string("/probe.Probe/Echo"),
                                         nullptr, gpr_inf_future(GPR_CLOCK_REALTIME), nullptr)),
          ended_(std::move(ended)) {
      functor_run = [](grpc_completion_queue_functor* self, int) {
        static_cast<Operation*>(self)->ended_();
      };
      inlineable = 0;
      grpc_metadata_array_init(&metadata_);
    }
    ~Operation() {
      grpc_slice_unref(details_);
      grpc_metadata_array_destroy(&metadata_);
      grpc_call_unref(call_);
    }
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    void Begin() {
      grpc_op end{};
      end.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
      end.data.recv_status_on_client.trailing_metadata = &metadata_;
      end.data.recv_status_on_client.status = &status_;
      end.data.recv_status_on_client.status_details = &details_;
      grpc_op begin{};
      begin.op = GRPC_OP_SEND_INITIAL_METADATA;
      const grpc_op both[] = {begin, end};
      const auto* const tag = static_cast<grpc_completion_queue_functor*>(this);
      ASSERT_EQ(grpc_call_start_batch(call_, both, 2,
                                      const_cast<grpc_completion_queue_functor*>(tag), nullptr),
                GRPC_CALL_OK);
    }

   private:
    grpc_call* const call_;
    const std::function<void()> ended_;
    grpc_metadata_array metadata_;
    grpc_status_code status_ = GRPC_STATUS_OK;
    grpc_slice details_ = grpc_empty_slice();
  };

  ~FollowUpTest() override {
    grpc_channel_destroy(channel_);
    queue_.Shutdown();
    EXPECT_FALSE(Next()) << "reported to the queue";
  }

  Operation Make(std::function<void()> ended) { return {channel_, queue_.cq(), std::move(ended)}; }

  // Runs what the queue has to report. False: nothing.
  bool Next() {
    const grpc_event event =
        grpc_completion_queue_next(queue_.cq(), gpr_now(GPR_CLOCK_REALTIME), nullptr);
    if (event.type != GRPC_OP_COMPLETE) return false;
    auto* const functor = static_cast<grpc_completion_queue_functor*>(event.tag);
    functor->functor_run(functor, event.success);
    return true;
  }

  grpc::CompletionQueue queue_;
  grpc_channel* const channel_ =
      grpc_lame_client_channel_create("nobody", GRPC_STATUS_UNAVAILABLE, "nobody serves it");
};

TEST_F(FollowUpTest, RunsWhatHasEndedWhenTheReportHasReturned) {
  int ended = 0;
  Operation operation = Make([&] { ++ended; });
  FollowUp([&] {
    StartHere(&queue_, [&] { operation.Begin(); });
    EXPECT_EQ(ended, 0);
  });
  EXPECT_EQ(ended, 1);
  EXPECT_FALSE(Next());
}

TEST_F(FollowUpTest, KeepsWhatIsStartedInAReportOnly) {
  int ended = 0;
  Operation first = Make([&] { ++ended; });
  Operation second = Make([&] { ++ended; });
  FollowUp([&] { first.Begin(); });
  FollowUp([] {});
  StartHere(&queue_, [&] { second.Begin(); });
  EXPECT_EQ(ended, 0);
  EXPECT_TRUE(Next());
  EXPECT_TRUE(Next());
  EXPECT_EQ(ended, 2);
}

TEST_F(FollowUpTest, LeavesAllButOneToTheQueue) {
  int ended = 0;
  Operation one = Make([&] { ++ended; });
  Operation another = Make([&] { ++ended; });
  FollowUp([&] {
    StartHere(&queue_, [&] { one.Begin(); });
    StartHere(&queue_, [&] { another.Begin(); });
  });
  EXPECT_EQ(ended, 1);
  EXPECT_TRUE(Next());
  EXPECT_EQ(ended, 2);
}

TEST_F(FollowUpTest, GoesNoDeeperAndEndsARow) {
  std::size_t begun = 0;
  int ended = 0;
  int depth = 0;
  std::deque<Operation> operations;
  const auto begin_next = [&] {
    if (begun < operations.size()) StartHere(&queue_, [&] { operations[begun++].Begin(); });
  };
  for (int i = 0; i < kInARow + 3; ++i) {
    operations.emplace_back(channel_, queue_.cq(), [&] {
      EXPECT_LE(++depth, 2);  // That of a report, and of one that follows it.
      ++ended;
      FollowUp(begin_next);
      --depth;
    });
  }
  FollowUp(begin_next);
  EXPECT_EQ(ended, kInARow - 1);
  EXPECT_TRUE(Next()) << "the one after them is the queue's";
  EXPECT_EQ(ended, kInARow + 3) << "and begins a row of its own";
}

}  // namespace
}  // namespace rpc
