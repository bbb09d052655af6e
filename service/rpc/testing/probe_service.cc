#include "service/rpc/testing/probe_service.h"

#include <chrono>
#include <optional>
#include <utility>

#include "service/rpc/stream.h"

namespace rpc {
namespace {

using probe::Note;

class Watching final : public ServerStream<Note> {
 public:
  explicit Watching(const Note& request) : note_(request) {}

 private:
  bool Next(Note& note) override {
    if (std::exchange(sent_, true)) return false;
    note = note_;
    return true;
  }
  ResumePoint Goodbye() override { return {"probe"}; }

  const Note note_;
  bool sent_ = false;
};

class Chatting final : public BidiStream<Note, Note> {
  bool Next(Note& note) override {
    if (!note_) return false;
    note = *std::exchange(note_, std::nullopt);
    return true;
  }
  void OnMessage(Note& note) override { note_ = note; }
  ResumePoint Goodbye() override { return {"probe"}; }

  std::optional<Note> note_;
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
  return Serve<Watching>(*request);
}

grpc::ServerBidiReactor<Note, Note>* ProbeService::Chat(grpc::CallbackServerContext*) {
  return Serve<Chatting>();
}

}  // namespace rpc
