#include "service/rpc/follow_up.h"

#include <utility>

#include "grpc/grpc.h"
#include "grpcpp/completion_queue.h"

namespace rpc {
namespace {

// What the queue of the callback API holds: a function to call.
struct Event {
  grpc_completion_queue_functor* function = nullptr;  // Null: none was kept.
  int ok = 0;
};

// What is done by the outermost FollowUp() on this thread.
struct Row {
  int started = 0;
  Event next;
};
thread_local Row* row = nullptr;

}  // namespace

void FollowUp(const std::function<void()>& report) {
  if (row != nullptr) return report();
  Row mine;
  row = &mine;
  report();
  while (mine.next.function != nullptr) {
    const Event event = std::exchange(mine.next, Event());
    event.function->functor_run(event.function, event.ok);
  }
  row = nullptr;
}

void StartHere(grpc::CompletionQueue* queue, const std::function<void()>& start) {
  // There is room for one report.
  const bool keeps = queue != nullptr && row != nullptr && row->next.function == nullptr;
  if (!keeps || ++row->started % kInARow == 0) return start();
  grpc_completion_queue_thread_local_cache_init(queue->cq());
  start();
  void* tag = nullptr;
  Event event;
  if (grpc_completion_queue_thread_local_cache_flush(queue->cq(), &tag, &event.ok) == 0) return;
  event.function = static_cast<grpc_completion_queue_functor*>(tag);
  row->next = event;
}

}  // namespace rpc
