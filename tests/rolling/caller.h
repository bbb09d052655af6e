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

// Somebody who calls the servers, all the time, until asked to stop.
//
// Threads: one at a time; counts() and failures() are read while it runs.
class Caller {
 public:
  explicit Caller(std::string name) : name_(std::move(name)) {}
  virtual ~Caller() = default;
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // "C++ library, watch": who it is in reports.
  const std::string& name() const { return name_; }
  Counts counts() const { return tally_.counts(); }
  std::vector<std::string> failures() const { return tally_.failures(); }

  virtual void Start() = 0;
  // Brings counts() up to date where that does not happen by itself.
  virtual void Look() {}
  // Asks it to make no further call, and waits for those that it has made.
  virtual void Stop() = 0;

 protected:
  Tally& tally() { return tally_; }

 private:
  const std::string name_;
  Tally tally_;
};

// A caller in this process: a function that runs on threads of its own.
class ThreadCaller final : public Caller {
 public:
  using Work = std::function<void(Tally&, std::stop_token)>;

  // `threads`: so many run `work` at once.
  ThreadCaller(std::string name, Work work, int threads = 1)
      : Caller(std::move(name)), work_(std::move(work)), count_(threads) {}

  void Start() override {
    for (int i = 0; i < count_; ++i) {
      threads_.emplace_back([this](std::stop_token stop) { work_(tally(), std::move(stop)); });
    }
  }

  void Stop() override {
    for (std::jthread& thread : threads_) thread.request_stop();
    threads_.clear();
  }

 private:
  const Work work_;
  const int count_;
  std::vector<std::jthread> threads_;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_CALLER_H_
