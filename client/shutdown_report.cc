#include "client/shutdown_report.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/plain_text.h"
#include "google/protobuf/util/json_util.h"

namespace client {
namespace {

using report::v1::ShutdownReport;

constexpr std::uint32_t kVersion = 2;

// The phases that have rows of their own below them.
constexpr char kSavingState[] = "SavingState";
constexpr char kClosingResources[] = "ClosingResources";
// The events that those rows tell of. Work that fails while a pool is closed has no row.
constexpr char kSaveFailed[] = "SaveFailed";
constexpr char kCloseFailed[] = "CloseFailed";

// What a string field holds, whichever of the types that Protobuf's versions give it.
std::string Text(std::string_view field) { return std::string(field); }

// What went wrong in a phase, in a few words; what rows below it say is left to them.
std::string MarkOf(const report::v1::Phase& phase, const ShutdownReport& report) {
  std::vector<std::string> marks;
  if (!phase.ended()) marks.push_back("the process was ended here");
  std::size_t not_saved = 0;
  std::size_t not_closed = 0;
  for (const report::v1::Event& event : report.events()) {
    if (event.ok() || event.phase() != phase.name()) continue;
    if (event.name() == kSaveFailed) {
      ++not_saved;
    } else if (event.name() == kCloseFailed) {
      ++not_closed;
    } else {
      const char* space = event.subject().empty() ? "" : " ";
      marks.push_back(OneLine(absl::StrCat(Text(event.name()), space, Text(event.subject()))));
    }
  }
  if (not_saved > 0) marks.push_back(absl::StrCat(not_saved, " not saved"));
  if (not_closed > 0) marks.push_back(absl::StrCat(not_closed, " not closed well"));
  return absl::StrJoin(marks, ", ");
}

// `done`: the result of one that did not fail.
template <typename Closers>
void AddClosers(const Closers& closers, std::string_view done, Timeline& timeline) {
  const std::size_t first = timeline.rows.size();
  for (const report::v1::Closer& closer : closers) {
    timeline.rows.push_back(
        {.label = OneLine(Text(closer.name())),
         .nested = true,
         .start = closer.start_ms(),
         .end = std::uint64_t{closer.start_ms()} + closer.took_ms(),
         .time = TimeText(closer.took_ms()),
         .forced = closer.result() != done,
         .mark = closer.result() == done ? "" : OneLine(Text(closer.result()))});
  }
  std::stable_sort(timeline.rows.begin() + static_cast<std::ptrdiff_t>(first), timeline.rows.end(),
                   [](const auto& a, const auto& b) { return a.start < b.start; });
}

// On the axis, which begins with the request.
std::uint64_t Drawn(std::int64_t milliseconds) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(milliseconds, 0));
}

void AddRows(const ShutdownReport& report, Timeline& timeline) {
  for (const report::v1::Phase& phase : report.phases()) {
    const std::int64_t start = phase.start_ms();
    timeline.rows.push_back(
        {.label = OneLine(Text(phase.name())),
         .start = Drawn(start),
         .end = Drawn(start + phase.took_ms()),
         .budget_end = Drawn(start + phase.budget_ms()),
         .time = absl::StrCat(
             TimeText(phase.took_ms()),
             phase.has_budget_ms() ? absl::StrCat(" of ", TimeText(phase.budget_ms())) : ""),
         .forced = phase.forced(),
         .mark = MarkOf(phase, report)});
    if (phase.name() == kSavingState) AddClosers(report.savers(), "saved", timeline);
    if (phase.name() == kClosingResources) AddClosers(report.closers(), "closed", timeline);
  }
}

void AddAxis(const ShutdownReport& report, Timeline& timeline) {
  std::uint64_t end = std::max<std::uint64_t>(report.took_ms(), 1);
  for (const Timeline::Row& row : timeline.rows) end = std::max(end, row.end);
  // Some room behind it shows whether a budget went on. The rest of a budget is cut
  // off: what happened would be too small to see beside it.
  end += (end + 7) / 8;
  std::uint64_t step = 1;
  for (std::uint64_t factor = 1; end / step > 5; factor = factor % 3 + 1) {
    step = factor == 2 ? step / 2 * 5 : step * 2;  // 1, 2, 5, 10, ...
  }
  timeline.length = (end + step - 1) / step * step;
  for (std::uint64_t at = 0; at <= timeline.length; at += step) timeline.ticks.push_back(at);
}

void AddSummary(const ShutdownReport& report, Timeline& timeline) {
  const auto add = [&](const std::string& line) { timeline.summary.push_back(OneLine(line)); };
  const report::v1::Calls& calls = report.calls();
  add(absl::StrCat("calls: ", calls.finished(), " finished, ", calls.cancelled(), " cancelled, ",
                   calls.left(), " left"));
  for (const report::v1::MethodCalls& method : calls.methods()) {
    add(absl::StrCat("  ", Text(method.method()), ": ", method.finished(), " finished, ",
                     method.cancelled(), " cancelled, ", method.left(), " left"));
  }
  add(absl::StrCat("streams: ", report.streams().ended(), " ended, ", report.streams().cut(),
                   " cut"));
  if (report.log_lines_lost() > 0) {
    add(absl::StrCat("log: ", report.log_lines_lost(), " lines lost: nobody read the log"));
  }
}

// A report as the log has it. `program`: who wrote it.
struct Logged {
  std::string_view program;
  std::string_view json;
};

// Whether `line` begins so, where a 0 stands for any digit; removes it then.
bool Consume(std::string_view& line, std::string_view form) {
  if (line.size() < form.size()) return false;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const bool digit = line[i] >= '0' && line[i] <= '9';
    if (form[i] == '0' ? !digit : line[i] != form[i]) return false;
  }
  line.remove_prefix(form.size());
  return true;
}

// {"time":"2026-01-31T12:00:01.250Z","level":"info","program":"orders","shutdown_report":{...}}
std::optional<Logged> ReportInJson(std::string_view line) {
  if (!Consume(line, R"({"time":"0000-00-00T00:00:00.000Z","level":"info","program":")")) {
    return std::nullopt;
  }
  const std::string_view program = line.substr(0, line.find_first_of("\"\\"));
  line.remove_prefix(program.size());
  if (program.empty() || !Consume(line, R"(","shutdown_report":)")) return std::nullopt;
  if (!line.starts_with('{') || !line.ends_with("}}")) return std::nullopt;
  line.remove_suffix(1);
  return Logged{program, line};
}

// The report of a line, "2026-01-31T12:00:01.250Z I orders: shutdown report: {...}". Nothing that a
// peer has sent can begin a line, nor stand directly behind a program's name.
std::optional<Logged> ReportIn(std::string_view line) {
  if (line.starts_with('{')) return ReportInJson(line);
  const bool has_date = Consume(line, "0000-00-00T00:00:00.000Z I ");
  // As servers of earlier versions wrote it.
  if (!has_date && !Consume(line, "00:00:00.000 I ")) return std::nullopt;
  const std::string_view program = line.substr(0, line.find_first_of(": "));
  line.remove_prefix(program.size());
  if (program.empty() || !Consume(line, ": shutdown report: ")) return std::nullopt;
  if (!line.starts_with('{')) return std::nullopt;
  return Logged{program, line};
}

// The last one in a log.
std::optional<Logged> LastReportIn(std::string_view log) {
  std::optional<Logged> last;
  while (!log.empty()) {
    const std::string_view line = log.substr(0, log.find('\n'));
    if (const std::optional<Logged> report = ReportIn(line)) last = report;
    log.remove_prefix(std::min(line.size() + 1, log.size()));
  }
  return last;
}

}  // namespace

absl::StatusOr<ShutdownReport> ReadShutdownReport(const std::string& text) {
  const std::optional<Logged> logged = LastReportIn(text);
  const std::string json = logged ? std::string(logged->json) : text;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  ShutdownReport report;
  const auto read = google::protobuf::util::JsonStringToMessage(json, &report, options);
  const bool forged = logged && Text(report.program()) != logged->program;
  if (!read.ok() || !report.has_version() || forged) {
    return absl::InvalidArgumentError("is no shutdown report, and no log with one");
  }
  if (report.version() != kVersion) {
    return absl::InvalidArgumentError(absl::StrCat(
        "is a shutdown report of version ", report.version(), "; this program reads ", kVersion));
  }
  return report;
}

Timeline TimelineOf(const ShutdownReport& report) {
  Timeline timeline;
  timeline.title.push_back(OneLine(
      absl::StrCat(report.program(), ": ", report.reason(), report.expedited() ? ", expedited" : "",
                   ", exit code ", report.exit_code(), ", ", TimeText(report.took_ms()), " of ",
                   TimeText(report.grace_ms()), ", ", report.requested_at())));
  timeline.title.push_back(OneLine(Text(report.why())));
  if (report.phases_size() > 0 && report.phases(0).start_ms() < 0) {
    const std::int64_t before = -std::int64_t{report.phases(0).start_ms()};
    timeline.title.push_back(absl::StrCat("drained by hand ", TimeText(Drawn(before)),
                                          " before the request to stop, where the axis begins"));
  }
  AddRows(report, timeline);
  AddAxis(report, timeline);
  AddSummary(report, timeline);
  return timeline;
}

std::string TimeText(std::uint64_t milliseconds) {
  if (milliseconds == 0) return "0";
  if (milliseconds < 1000) return absl::StrCat(milliseconds, " ms");
  if (milliseconds >= 60'000) {
    const std::uint64_t minutes = milliseconds / 60'000;
    const std::uint64_t rest = milliseconds % 60'000;
    const std::string text = absl::StrCat(minutes, " min");
    return rest < 1000 ? text : absl::StrCat(text, " ", rest / 1000, " s");
  }
  std::string seconds = absl::StrFormat("%.2f", static_cast<double>(milliseconds) / 1000);
  while (seconds.back() == '0') seconds.pop_back();
  if (seconds.back() == '.') seconds.pop_back();
  return seconds + " s";
}

}  // namespace client
