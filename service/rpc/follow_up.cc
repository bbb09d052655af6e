#include "service/rpc/follow_up.h"

#include <utility>

#include "grpc/grpc.h"
#include "grpcpp/completion_queue.h"

namespace rpc {
namespace {

// What the queue of the callback API holds: functions to call.
struct Event {
  grpc_completion_queue_functor* function = nullptr;  // Null: none was kept.
  int ok = 0;
};

// What is done by the outermost FollowUp() on this thread.
struct Row {
  int left = kInARow;
  Event next;
};
thread_local Row* row = nullptr;

Event KeptDuring(grpc_completion_queue* queue, const std::function<void()>& report) {
  grpc_completion_queue_thread_local_cache_init(queue);
  report();
  void* tag = nullptr;
  Event event;
  if (grpc_completion_queue_thread_local_cache_flush(queue, &tag, &event.ok) != 0) {
    event.function = static_cast<grpc_completion_queue_functor*>(tag);
  }
  return event;
}

}  // namespace

void FollowUp(grpc::CompletionQueue* queue, const std::function<void()>& report) {
  if (row != nullptr) {
    if (row->left == 0 || row->next.function != nullptr) return report();
    row->next = KeptDuring(queue->cq(), report);
    return;
  }
  Row mine{.next = KeptDuring(queue->cq(), report)};
  row = &mine;
  while (mine.next.function != nullptr) {
    --mine.left;
    const Event event = std::exchange(mine.next, Event());
    event.function->functor_run(event.function, event.ok);
  }
  row = nullptr;
}

}  // namespace rpc
