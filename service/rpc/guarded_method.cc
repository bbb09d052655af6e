#include "service/rpc/guarded_method.h"

#include <exception>
#include <utility>

#include "service/lifecycle/last_resort/last_words.h"

namespace rpc {
namespace {

thread_local const std::shared_ptr<GuardedMethod>* running = nullptr;
thread_local GuardedMethod::RunningCall running_call;
thread_local bool failing = false;

class Unguarded final : public GuardedMethod {
 public:
  explicit Unguarded(std::function<void(const std::string&)> log) : log_(std::move(log)) {}

 private:
  void Threw(const std::string& what) override { log_(what); }
  void Undecodable() override {}

  const std::function<void(const std::string& what)> log_;
};

// What is not guarded, as in a test without a ServerHost: its author must see what was thrown.
const std::shared_ptr<GuardedMethod>& Nobody() {
  static const auto& nobody =
      *new std::shared_ptr(GuardedMethod::Logging([](const std::string& what) {
        lifecycle::WriteLastWords({"a handler failed that nobody guards: ", what});
      }));
  return nobody;
}

}  // namespace

std::shared_ptr<GuardedMethod> GuardedMethod::Current() { return CurrentOr(Nobody()); }

std::shared_ptr<GuardedMethod> GuardedMethod::CurrentOr(
    const std::shared_ptr<GuardedMethod>& otherwise) {
  return running != nullptr && *running != Nobody() ? *running : otherwise;
}

std::shared_ptr<GuardedMethod> GuardedMethod::Logging(std::function<void(const std::string&)> log) {
  return std::make_shared<Unguarded>(std::move(log));
}

GuardedMethod::RunningCall GuardedMethod::CurrentCall() { return running_call; }

GuardedMethod::Running::Running(const std::shared_ptr<GuardedMethod>& method,
                                const RunningCall& call)
    : outer_(running), outer_call_(running_call), outer_failing_(std::exchange(failing, false)) {
  running = &method;
  running_call = call;
}

GuardedMethod::Running::~Running() {
  running = outer_;
  running_call = outer_call_;
  failing = outer_failing_;
}

GuardedMethod::Failing::Failing() : outer_(std::exchange(failing, true)) {}

GuardedMethod::Failing::~Failing() { failing = outer_; }

bool GuardedMethod::Failing::Here() { return failing; }

bool GuardedMethod::Survives(const std::function<void()>& work) {
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
