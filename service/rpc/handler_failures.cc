#include "service/rpc/handler_failures.h"

#include <exception>

namespace rpc {
namespace {

thread_local const std::shared_ptr<HandlerFailures>* running = nullptr;

class Unheard final : public HandlerFailures {
  void Threw(const std::string&) override {}
  void Undecodable() override {}
};

}  // namespace

std::shared_ptr<HandlerFailures> HandlerFailures::Current() {
  if (running != nullptr) return *running;
  return std::make_shared<Unheard>();
}

HandlerFailures::Running::Running(const std::shared_ptr<HandlerFailures>& failures)
    : outer_(running) {
  running = &failures;
}

HandlerFailures::Running::~Running() { running = outer_; }

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
