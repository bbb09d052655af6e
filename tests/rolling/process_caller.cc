#include "tests/rolling/process_caller.h"

#include <signal.h>

#include <chrono>
#include <sstream>
#include <utility>

#include "tests/rolling/load.h"

namespace rolling {

using testkit::Ending;

ProcessCaller::ProcessCaller(std::string name, std::vector<std::string> command,
                             testkit::ChildProcess::Environment environment, Evidence& evidence,
                             Journal<Event>* told)
    : Caller(std::move(name)),
      command_(std::move(command)),
      environment_(std::move(environment)),
      evidence_(evidence),
      told_(told) {}

void ProcessCaller::Start() {
  process_ = std::make_unique<testkit::ChildProcess>(command_, environment_);
}

void ProcessCaller::Look() {
  const std::string output = process_->Output(taken_);
  std::size_t begin = 0;
  for (std::size_t end; (end = output.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Take(output.substr(begin, end - begin));
  }
  taken_ += begin;
}

void ProcessCaller::AskToStop() {
  asked_ = process_->Wait(std::chrono::seconds(0)) == Ending();
  process_->Signal(SIGTERM);
}

void ProcessCaller::AwaitStopped() {
  const Ending ending = process_->Wait(kCallLimit);
  Look();
  if (asked_ && ending == Ending::Exited(0)) return;
  std::ostringstream text;
  text << "the caller itself " << (asked_ ? "did not end well: " : "ended too soon with ") << ending
       << "\n";
  const std::string output = process_->Output();
  constexpr std::size_t kLastWords = 2000;
  text << (output.size() > kLastWords ? output.substr(output.size() - kLastWords) : output);
  tally().Failed(text.str());
}

void ProcessCaller::Take(const std::string& line) {
  std::istringstream words(line);
  std::string what, id, rest;
  words >> what;
  if (what == "order") {
    words >> id >> rest;
    evidence_.acknowledged.Add({id, rest});
    tally().Answered();
  } else if (what == "event" && told_ != nullptr) {
    int state = 0;
    words >> id >> state;
    told_->Add({id, static_cast<orders::v1::OrderState>(state)});
    tally().Answered();
  } else if (what == "answered") {
    tally().Answered();
  } else if (what == "failed") {
    std::getline(words >> std::ws, rest);
    tally().Failed(rest);
  } else if (what == "resumed") {
    tally().Resumed();
  }
}

}  // namespace rolling
