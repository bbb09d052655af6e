#ifndef TESTS_ROLLING_PROCESS_CALLER_H_
#define TESTS_ROLLING_PROCESS_CALLER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tests/common/child_process.h"
#include "tests/rolling/caller.h"
#include "tests/rolling/evidence.h"

namespace rolling {

// A caller in any language: a program that tells on stdout what it sees, a line for
// each thing, and ends with 0 at SIGTERM, having finished the call that runs.
//
//     order REQUEST_ID ORDER_ID    an order was acknowledged
//     event ORDER_ID STATE         an event was watched; STATE is a number
//     answered                     any other call was answered
//     failed WORDS                 a call failed, and why
//     resumed                      a stream was told goodbye and is opened again
//
// Lines of other words are its own affair. A program that ends by itself, or does
// not end when it should, counts as a failure.
//
// Threads: those of ChildProcess.
class ProcessCaller final : public Caller {
 public:
  // `told`: null for a caller that watches nothing.
  ProcessCaller(std::string name, std::vector<std::string> command,
                testkit::ChildProcess::Environment environment, Evidence& evidence,
                Journal<Event>* told = nullptr);

  void Start() override;
  void Look() override;
  void AskToStop() override;
  void AwaitStopped() override;

 private:
  void Take(const std::string& line);

  const std::vector<std::string> command_;
  const testkit::ChildProcess::Environment environment_;
  Evidence& evidence_;
  Journal<Event>* const told_;
  std::unique_ptr<testkit::ChildProcess> process_;
  bool asked_ = false;     // To stop, while it ran.
  std::size_t taken_ = 0;  // Bytes of its output.
};

}  // namespace rolling

#endif  // TESTS_ROLLING_PROCESS_CALLER_H_
