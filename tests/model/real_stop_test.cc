// Real processes, with the participants of stop.pml, that behave, fail or hang at
// random, are drained by hand and not, and are stopped by one to three signals: each
// keeps the rules of the model, and its report keeps to its schema.
//
// Whatever a busy machine makes late, the rules hold: nothing here measures time.
// A failure names its seed; SEED=<seed> runs that one alone:
//   bazel test --test_env=SEED=42 //tests/model:real_stop_test

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace testkit {
namespace {

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{60};

const Uses kUses = {{"pool", "database"},
                    {"pool", "channel"},
                    {"database", "files"},
                    {"channel", "files"},
                    {"files", "operators"}};

// One process and what happens to it.
class RandomStop {
 public:
  explicit RandomStop(unsigned seed) : random_(seed) {
    command_.push_back(RunfileOrDie("tests/model/participants"));
    command_.push_back("report=" + report());
    Maybe(3, "callers", {"stay"});
    Maybe(2, "operators", {"waver"});
    misbehaves_ |= Maybe(3, "handler", {"cancelled", "hangs"});
    misbehaves_ |= Maybe(3, "worker", {"throws", "hangs"});
    for (const char* entry : {"saver", "files", "database", "channel", "pool"}) {
      misbehaves_ |= Maybe(4, entry, {"fails", "hangs"});
    }
    // By itself: it ends the run before anything else is seen.
    misbehaves_ |= Maybe(8, "stuck", {"CloseListener", "BeginShutdown", "Cancel"});
    misbehaves_ |= Maybe(8, "destructor", {"hangs"});
    process_ = std::make_unique<ChildProcess>(command_);
  }

  void Stop() {
    process_->AwaitOutput(Pick(4) == 0 ? "starting" : " Serving\n", kLimit);
    process_->Signal(Pick(2) == 0 ? SIGTERM : SIGINT);
    // Signals that are the same become one while they wait: the next is sent when
    // something has come of this one.
    process_->AwaitOutput(" ListenerClosed", kLimit);
    if (Pick(3) != 0) return;
    const std::vector<std::string> moments = {"ListenerClosed", "ShutdownBegun", "StateSaved"};
    process_->AwaitOutput(" " + moments[Pick(moments.size())], kLimit);
    process_->Signal(SIGINT);
    if (Pick(3) == 0) process_->Signal(SIGINT);
  }

  void Check() {
    const Ending ending = process_->Wait(kLimit);
    const std::string output = process_->Output();
    EXPECT_EQ(ending.how, Ending::How::kExited) << ending;
    EXPECT_THAT(output, KeepsTheOrderOfAStop(ending, kUses));
    EXPECT_TRUE(!misbehaves_ || ending != Ending::Exited(0)) << output;
    if (WroteReport()) CheckReport(output, ending);
  }

  std::string report() const { return directory_.File("report.json"); }

  // False: the machine was too busy for it.
  bool WroteReport() const {
    return process_->Output().find("could not be written in its time") == std::string::npos;
  }

  std::string ToString() const { return absl::StrJoin(command_, " "); }

 private:
  // It says that the process ends as it does.
  void CheckReport(const std::string& output, Ending ending) const {
    const std::size_t last = output.rfind("drain report: {");
    ASSERT_NE(last, std::string::npos) << output;
    const std::string code = "\"exit_code\":" + std::to_string(ending.number) + ",";
    EXPECT_NE(output.find(code, last), std::string::npos) << output;
  }

  std::size_t Pick(std::size_t of) {
    return std::uniform_int_distribution<std::size_t>(0, of - 1)(random_);
  }

  // Once in so many times, somebody does one of these things.
  bool Maybe(std::size_t rarity, const std::string& who, const std::vector<std::string>& how) {
    if (Pick(rarity) != 0) return false;
    command_.push_back(who + "=" + how[Pick(how.size())]);
    return true;
  }

  const TempDir directory_;
  std::mt19937 random_;
  std::vector<std::string> command_;
  bool misbehaves_ = false;
  std::unique_ptr<ChildProcess> process_;
};

// All of a few at once: the validator takes its time to start.
void CheckReports(const std::vector<std::unique_ptr<RandomStop>>& runs) {
  std::vector<std::string> command = {RunfileOrDie("tests/common/validate_json.py"),
                                      RunfileOrDie("docs/drain_report.schema.json")};
  for (const auto& run : runs) {
    if (run->WroteReport()) command.push_back(run->report());
  }
  ChildProcess validator(command);
  EXPECT_EQ(validator.Wait(kLimit), Ending::Exited(0)) << validator.Output();
}

TEST(RealStopTest, KeepsTheRulesOfTheModelWhateverFailsOrHangs) {
  const char* only = std::getenv("SEED");
  const unsigned first = only != nullptr ? std::strtoul(only, nullptr, 10) : 1;
  const unsigned last = only != nullptr ? first : 48;
  // A few at a time: most of them do nothing but wait.
  for (unsigned begin = first; begin <= last; begin += 8) {
    std::vector<std::unique_ptr<RandomStop>> runs;
    for (unsigned seed = begin; seed <= last && seed < begin + 8; ++seed) {
      runs.push_back(std::make_unique<RandomStop>(seed));
    }
    for (const auto& run : runs) run->Stop();
    for (std::size_t i = 0; i < runs.size(); ++i) {
      SCOPED_TRACE("SEED=" + std::to_string(begin + i) + ": " + runs[i]->ToString());
      runs[i]->Check();
    }
    CheckReports(runs);
  }
}

}  // namespace
}  // namespace testkit
