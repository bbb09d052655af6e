#include "service/rpc/testing/probe_service.h"

#include <chrono>
#include <functional>
#include <utility>

#include "service/rpc/status.h"

namespace rpc {
namespace {

using probe::Note;

// A stream is ended by its caller, a cancellation or the drain, perhaps by all at
// once: the first decides, and nothing is started after Finish().
template <typename Reactor>
class Ending : public Reactor {
 public:
  explicit Ending(const std::stop_token& drain)
      : drained_(drain, [this] { End(ToGrpc(Goodbye("probe"))); }) {}

  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 protected:
  void End(const grpc::Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    this->Finish(status);
  }

  template <typename Operation>
  void UnlessEnded(Operation operation) {
    std::lock_guard lock(mutex_);
    if (!ended_) operation();
  }

 private:
  std::mutex mutex_;
  bool ended_ = false;  // Guarded by mutex_.
  std::stop_callback<std::function<void()>> drained_;
};

class Watching final : public Ending<grpc::ServerWriteReactor<Note>> {
 public:
  Watching(const Note& request, const std::stop_token& drain) : Ending(drain), note_(request) {
    UnlessEnded([this] { StartWrite(&note_); });
  }

 private:
  const Note note_;
};

class Chatting final : public Ending<grpc::ServerBidiReactor<Note, Note>> {
 public:
  explicit Chatting(const std::stop_token& drain) : Ending(drain) { Read(); }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);
    UnlessEnded([this] { StartWrite(&note_); });
  }
  void OnWriteDone(bool ok) override {
    if (ok) Read();
  }

 private:
  void Read() {
    UnlessEnded([this] { StartRead(&note_); });
  }

  Note note_;
};

}  // namespace

// Whoever takes it out of `held_` finishes it.
class ProbeService::Holding final : public grpc::ServerUnaryReactor {
 public:
  Holding(ProbeService& service, bool deaf) : service_(service), deaf_(deaf) {
    std::lock_guard lock(service_.mutex_);
    ++service_.begun_;
    service_.held_.insert(this);
    service_.changed_.notify_all();
  }

  void OnCancel() override {
    if (deaf_) return;
    {
      std::lock_guard lock(service_.mutex_);
      if (service_.held_.erase(this) == 0) return;
    }
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  ProbeService& service_;
  const bool deaf_;
};

ProbeService::ProbeService(std::stop_token drain) : drain_(std::move(drain)) {}

ProbeService::~ProbeService() = default;

bool ProbeService::AwaitHeld(int calls) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return begun_ >= calls; });
}

void ProbeService::Release() {
  std::set<Holding*> released;
  {
    std::lock_guard lock(mutex_);
    released.swap(held_);
  }
  for (Holding* call : released) call->Finish(grpc::Status::OK);
}

grpc::ServerUnaryReactor* ProbeService::Echo(grpc::CallbackServerContext* context,
                                             const Note* request, Note* response) {
  *response = *request;
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ProbeService::Hold(grpc::CallbackServerContext*, const Note* request,
                                             Note* response) {
  *response = *request;
  return new Holding(*this, request->text() == "deaf");
}

grpc::ServerWriteReactor<Note>* ProbeService::Watch(grpc::CallbackServerContext*,
                                                    const Note* request) {
  return new Watching(*request, drain_);
}

grpc::ServerBidiReactor<Note, Note>* ProbeService::Chat(grpc::CallbackServerContext*) {
  return new Chatting(drain_);
}

}  // namespace rpc
