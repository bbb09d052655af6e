#include "service/lifecycle/last_resort/unplanned_end.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/last_resort/last_words.h"

namespace lifecycle {
namespace {

using End = std::function<void(const std::string&)>;

std::atomic<End*> the_end{nullptr};
std::atomic<bool> had_one{false};
std::atomic<std::thread::id> ending{};  // The first thread on which it happened.

std::string WhatWasThrown() {
  try {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::exception& thrown) {
    return std::string("uncaught exception: ") + thrown.what();
  } catch (...) {
    return "uncaught exception that is not a std::exception";
  }
  return "std::terminate() was called";
}

[[noreturn]] void EndBecause(const std::string& why) {
  std::thread::id nobody{};
  if (!ending.compare_exchange_strong(nobody, std::this_thread::get_id())) {
    // A second one meanwhile: the first thread is about to end the process.
    if (nobody == std::this_thread::get_id()) _exit(static_cast<int>(ExitCode::kBug));
    for (;;) pause();
  }
  End* const end = the_end;
  const bool started = end != nullptr || had_one;
  WriteLastWords({started ? "unplanned end: " : "could not start: ", why});
  if (end != nullptr) (*end)(why);
  _exit(static_cast<int>(started ? ExitCode::kBug : ExitCode::kCouldNotStart));
}

}  // namespace

UnplannedEnd::UnplannedEnd(End end) {
  had_one = true;
  the_end = new End(std::move(end));
  NoticeExitFromNowOn();
}

UnplannedEnd::~UnplannedEnd() {
  const std::unique_ptr<End> end(the_end.exchange(nullptr));
  const std::thread::id on = ending;
  if (on == std::thread::id() || on == std::this_thread::get_id()) return;
  for (;;) pause();  // That thread ends the process, and may be using all that main would destroy.
}

void UnplannedEnd::Install() {
  std::set_terminate([] { EndBecause(WhatWasThrown()); });
}

void UnplannedEnd::NoticeExitFromNowOn() {
  std::atexit([] {
    if (the_end != nullptr) EndBecause("exit() was called while main was running");
  });
}

}  // namespace lifecycle
