#ifndef TESTS_ROLLING_CALLER_H_
#define TESTS_ROLLING_CALLER_H_

#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/rolling/tally.h"

namespace rolling {

// Calls the servers continuously until asked to stop.
//
// Threads: one at a time; counts() and failures() may be read while it runs.
class Caller {
 public:
  explicit Caller(std::string name) : name_(std::move(name)) {}
  virtual ~Caller() = default;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // The caller's name in reports: "C++ library, watch".
  const std::string& name() const { return name_; }
  Counts counts() const { return tally_.counts(); }
  std::vector<std::string> failures() const { return tally_.failures(); }

  virtual void Start() = 0;
  // Updates counts() where that does not happen by itself.
  virtual void Look() {}
  // Asks it to make no further call. Does not wait.
  virtual void AskToStop() = 0;
  // Waits for the calls that it has made. Requires: AskToStop() was called.
  virtual void AwaitStopped() = 0;

 protected:
  Tally& tally() { return tally_; }

 private:
  const std::string name_;
  Tally tally_;
};

// A caller in this process: a function on its own thread.
class ThreadCaller final : public Caller {
 public:
  using Work = std::function<void(Tally&, std::stop_token)>;

  ThreadCaller(std::string name, Work work) : Caller(std::move(name)), work_(std::move(work)) {}

  void Start() override {
    thread_ = std::jthread([this](std::stop_token stop) { work_(tally(), std::move(stop)); });
  }

  void AskToStop() override { thread_.request_stop(); }

  void AwaitStopped() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  const Work work_;
  std::jthread thread_;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_CALLER_H_
