#include "service/rpc/handler_failures.h"

#include <exception>

namespace rpc {
namespace {

thread_local const std::shared_ptr<HandlerFailures>* running = nullptr;
thread_local const void* running_call = nullptr;

class Unheard final : public HandlerFailures {
  void Threw(const std::string&) override {}
  void Undecodable() override {}
};

}  // namespace

std::shared_ptr<HandlerFailures> HandlerFailures::Current() {
  if (running != nullptr) return *running;
  return std::make_shared<Unheard>();
}

const void* HandlerFailures::CurrentCall() { return running_call; }

HandlerFailures::Running::Running(const std::shared_ptr<HandlerFailures>& failures,
                                  const void* call)
    : outer_(running), outer_call_(running_call) {
  running = &failures;
  running_call = call;
}

HandlerFailures::Running::~Running() {
  running = outer_;
  running_call = outer_call_;
}

bool HandlerFailures::Survives(const std::function<void()>& work) {
  try {
    work();
    return true;
  } catch (const std::exception& thrown) {
    Threw(thrown.what());
  } catch (...) {
    Threw("not a std::exception");
  }
  return false;
}

}  // namespace rpc
