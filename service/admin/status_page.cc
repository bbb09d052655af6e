#include "service/admin/status_page.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "service/lifecycle/phase.h"
#include "service/observability/printable.h"

namespace admin {
namespace {

using lifecycle::Phase;

constexpr char kHead[] = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>)";

constexpr char kStyle[] = R"(</title>
<style>
:root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --soft: #5f6670; --line: #d9dde3;
  --card: #f6f7f9; --good: #1a7f37; --wait: #9a6700; --bad: #b42318; --bar: #3b76d6; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e8eb; --soft: #9aa3ae;
  --line: #313843; --card: #1d2229; --good: #4cc26e; --wait: #e0a526; --bad: #ff7a6e; --bar: #6ea0f0; } }
body { background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif;
  margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); }
.phase { border-left: .4rem solid var(--good); background: var(--card); padding: .7rem 1rem; margin: 1rem 0; }
.phase b { font-size: 1.25rem; } .phase.leaving { border-color: var(--wait); }
.numbers { display: flex; flex-wrap: wrap; gap: .6rem; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; min-width: 7rem; }
.numbers b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; } td.n, th.n { text-align: right; white-space: nowrap; }
td.text { overflow-wrap: anywhere; } code { font: .93em ui-monospace, monospace; }
.good { color: var(--good); } .wait { color: var(--wait); } .bad { color: var(--bad); }
.track { background: var(--card); border: 1px solid var(--line); height: .8rem; min-width: 9rem; position: relative; }
.track i { background: var(--bar); bottom: 0; min-width: 2px; position: absolute; top: 0; }
.track i.now { background: var(--wait); } .track i.bad { background: var(--bad); }
#gone { display: none; background: var(--bad); color: #fff; padding: .7rem 1rem; margin: 1rem 0; }
body.gone #gone { display: block; } body.gone main { opacity: .75; }
</style>
</head>
<body>
)";

// It is asked for again only when the last answer has come. What was there stays when nobody answers
// any more: it is what the process did last.
constexpr char kScript[] =
    R"(<div id="gone">The process does not answer any more: it has ended, or this
computer cannot reach it. Below is what it said last; its exit code and its whole report are in its log.</div>
<noscript><p class="soft">Without a script this page shows the moment at which it was loaded.</p></noscript>
<script>
async function look() {
  try {
    const answer = await fetch(location.href, {cache: 'no-store'});
    if (!answer.ok) throw answer.status;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
    document.title = page.title;
    document.body.classList.remove('gone');
  } catch (error) {
    document.body.classList.add('gone');
  }
  setTimeout(look, 1000);
}
setTimeout(look, 1000);
</script>
)";

std::string Escaped(std::string_view text) {
  return absl::StrReplaceAll(
      observability::Printable(text),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

std::string Seconds(double milliseconds) {
  return milliseconds < 10'000 ? absl::StrFormat("%.3f s", milliseconds / 1e3)
                               : absl::StrFormat("%.1f s", milliseconds / 1e3);
}

std::string Uptime(std::chrono::seconds uptime) {
  const auto seconds = uptime.count();
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, " min ", seconds % 60, " s");
  if (seconds < 86'400) return absl::StrCat(seconds / 3600, " h ", seconds % 3600 / 60, " min");
  return absl::StrCat(seconds / 86'400, " d ", seconds % 86'400 / 3600, " h");
}

// What the phase means to somebody who sees it for the first time.
const char* Meaning(const lifecycle::ProcessStatus& process) {
  switch (process.phase) {
    case Phase::kStarting:
      return "It opens what it needs; callers are refused until then.";
    case Phase::kServing:
      return "Callers are served.";
    case Phase::kLameDuck:
      return "Health checks say NOT_SERVING, so that callers go elsewhere; calls are still served.";
    case Phase::kDrainingConnections:
      if (process.drained)
        return "Drained by an operator: no caller is left; the process keeps running.";
      return "No new connection is accepted, open ones are asked to leave; calls on them are "
             "served.";
    case Phase::kDrainingCalls:
      return "New calls are refused; the calls in flight finish.";
    case Phase::kCancellingCalls:
      return "Calls that still run are cancelled.";
    case Phase::kStoppingWorkers:
      return "Background workers finish what they are at.";
    case Phase::kSavingState:
      return "State is saved, while databases and backend channels are still open.";
    case Phase::kClosingResources:
      return "Databases, backends and pools are closed, dependants first.";
    case Phase::kStopped:
      return "Everything is closed; the report is written.";
  }
  return "";
}

std::string PhaseBox(const ServerStatus& status) {
  const lifecycle::ProcessStatus& process = status.process;
  std::string left;
  if (process.time_left) {
    const double seconds = std::chrono::duration<double>(*process.time_left).count();
    left = absl::StrFormat(" <span class=soft>at most %.1f s more</span>", seconds);
  }
  const std::string held = status.held_by.empty() || process.phase <= Phase::kServing
                               ? ""
                               : absl::StrCat("<p>It waits for: ", Escaped(status.held_by), "</p>");
  return absl::StrCat("<div class=\"phase", process.phase == Phase::kServing ? "" : " leaving",
                      "\"><b>", lifecycle::PhaseName(process.phase), "</b>", left, "<p>",
                      Meaning(process), "</p>", held, "</div>\n");
}

std::string Number(std::int64_t value, const char* what) {
  return absl::StrCat("<div><b>", value, "</b>", what, "</div>");
}

std::string Numbers(const lifecycle::Traffic::Load& load, bool leaving) {
  return absl::StrCat("<div class=numbers>", Number(load.calls, "calls in flight"),
                      Number(load.streams, "of them streams"),
                      Number(load.connections, "connections"),
                      leaving ? Number(load.hinted, "calls told to go elsewhere") : "", "</div>\n");
}

// Where a bar lies in its track.
std::string Bar(double from, double length, double whole, const char* look) {
  const double scale = whole > 0 ? 100 / whole : 0;
  return absl::StrFormat(
      "<div class=track><i class=\"%s\" style=\"left:%.2f%%;width:%.2f%%\"></i></div>", look,
      std::clamp(from * scale, 0.0, 100.0), std::clamp(length * scale, 0.0, 100.0));
}

std::string Timeline(const report::v1::ShutdownReport& report) {
  if (report.phases().empty()) return "";
  const double first = std::min(0, report.phases(0).start_ms());
  double end = 1;
  for (const auto& phase : report.phases()) {
    end = std::max(end, phase.start_ms() + static_cast<double>(phase.took_ms()) - first);
  }
  std::string rows;
  for (int i = 0; i < report.phases_size(); ++i) {
    const auto& phase = report.phases(i);
    const bool now = i + 1 == report.phases_size();
    absl::StrAppend(&rows, "<tr><td>", Escaped(phase.name()), now ? " <b class=wait>now</b>" : "",
                    "</td><td class=n>", Seconds(phase.start_ms()), "</td><td class=n>",
                    Seconds(phase.took_ms()), "</td><td>",
                    Bar(phase.start_ms() - first, phase.took_ms(), end,
                        now              ? "now"
                        : phase.forced() ? "bad"
                                         : ""),
                    "</td></tr>\n");
  }
  return absl::StrCat(
      "<h2>The shutdown so far</h2>\n<p class=soft>Each phase ends when it has nothing left to "
      "wait "
      "for, and at its limit in any case.</p>\n<div class=wide><table><tr><th>phase</th><th "
      "class=n>began after</th><th class=n>took</th><th></th></tr>\n",
      rows, "</table></div>\n");
}

std::string Closers(const report::v1::ShutdownReport& report) {
  std::string rows;
  for (const auto* some : {&report.savers(), &report.closers()}) {
    for (const auto& each : *some) {
      const bool well = each.result() == "saved" || each.result() == "closed";
      absl::StrAppend(&rows, "<tr><td>", Escaped(each.name()), "</td><td class=\"",
                      well ? "good" : "bad", "\">", Escaped(each.result()), "</td><td class=n>",
                      Seconds(each.took_ms()), "</td><td class=text>", Escaped(each.detail()),
                      "</td></tr>\n");
    }
  }
  if (rows.empty()) return "";
  return absl::StrCat("<h2>Saved and closed</h2>\n<div class=wide><table>", rows,
                      "</table></div>\n");
}

std::string Events(const report::v1::ShutdownReport& report) {
  if (report.events().empty()) return "";
  std::string rows;
  for (const auto& event : report.events()) {
    absl::StrAppend(&rows, "<tr><td class=n>", absl::StrFormat("%+.3f s", event.at_ms() / 1e3),
                    "</td><td", event.ok() ? "" : " class=bad", ">", Escaped(event.name()),
                    "</td><td class=text>", Escaped(event.subject()),
                    event.subject().empty() || event.detail().empty() ? "" : ": ",
                    Escaped(event.detail()), "</td></tr>\n");
  }
  return absl::StrCat("<h2>Events</h2>\n<div class=wide><table>", rows, "</table></div>\n");
}

std::string Milliseconds(double value) {
  if (value >= 10'000) return absl::StrFormat("%.0f s", value / 1e3);
  return value < 10 ? absl::StrFormat("%.1f ms", value) : absl::StrFormat("%.0f ms", value);
}

std::string Slowest(double milliseconds) {
  return std::isinf(milliseconds) ? "longer than any bucket" : "&le; " + Milliseconds(milliseconds);
}

std::string Methods(const std::vector<ServerStatus::Method>& methods) {
  std::string rows;
  for (const ServerStatus::Method& each : methods) {
    absl::StrAppend(&rows, "<tr><td class=text><code>", Escaped(each.name),
                    "</code></td><td class=n>", each.running, "</td><td class=n>", each.ended,
                    "</td><td class=\"n", each.failed > 0 ? " bad" : "", "\">", each.failed,
                    "</td><td class=n>", each.ended > 0 ? Milliseconds(each.mean_ms) : "",
                    "</td><td class=n>", each.ended > 0 ? Slowest(each.slowest_ms) : "",
                    "</td></tr>\n");
  }
  if (rows.empty()) rows = "<tr><td class=soft colspan=6>nobody has called yet</td></tr>\n";
  return absl::StrCat(
      "<h2>Calls by method</h2>\n<div class=wide><table><tr><th>method</th><th class=n>running</th>"
      "<th class=n>ended</th><th class=n>not OK</th><th class=n>mean</th><th class=n>slowest</th>"
      "</tr>\n",
      rows, "</table></div>\n");
}

std::string Checks(const std::vector<ServerStatus::Check>& checks) {
  if (checks.empty()) return "";
  std::string rows;
  for (const ServerStatus::Check& each : checks) {
    absl::StrAppend(&rows, "<tr><td>", Escaped(each.name), "</td><td class=\"text ",
                    each.status.ok() ? "good\">works" : "bad\">",
                    each.status.ok() ? "" : Escaped(each.status.ToString()), "</td></tr>\n");
  }
  return absl::StrCat("<h2>What it depends on</h2>\n<div class=wide><table>", rows,
                      "</table></div>\n");
}

std::string Limits(const std::vector<ServerStatus::Limit>& limits) {
  if (limits.empty()) return "";
  std::string rows;
  for (const ServerStatus::Limit& each : limits) {
    absl::StrAppend(&rows, "<tr><td>", Escaped(each.what), "</td><td class=\"n",
                    each.refused > 0 ? " wait" : "", "\">", each.refused, "</td></tr>\n");
  }
  return absl::StrCat("<h2>Refused, and failed</h2>\n<div class=wide><table>", rows,
                      "</table></div>\n");
}

std::string Flags(const std::vector<std::pair<std::string, std::string>>& flags) {
  if (flags.empty()) return "";
  std::string rows;
  for (const auto& [name, value] : flags) {
    absl::StrAppend(&rows, "<tr><td><code>--", Escaped(name), "</code></td><td class=text><code>",
                    Escaped(value), "</code></td></tr>\n");
  }
  return absl::StrCat("<h2>Settings</h2>\n<div class=wide><table>", rows, "</table></div>\n");
}

}  // namespace

std::string RenderStatusPage(const ServerStatus& status) {
  const Phase phase = status.process.phase;
  const bool leaving = phase > Phase::kServing;
  return absl::StrCat(
      kHead, Escaped(status.program), ": ", lifecycle::PhaseName(phase), kStyle, kScript,
      "<main>\n<h1>", Escaped(status.program), "</h1>\n<p class=soft>up for ",
      Uptime(status.uptime), ", since ", Escaped(status.started_at), " &middot; ",
      Escaped(status.build), "</p>\n", PhaseBox(status), Numbers(status.process.load, leaving),
      Timeline(status.report), Closers(status.report), Methods(status.methods),
      Checks(status.checks), Events(status.report), Limits(status.limits), Flags(status.flags),
      "<p class=soft><a href=\"/metrics\">/metrics</a> &middot; <a "
      "href=\"/readyz?verbose\">/readyz?verbose</a> &middot; <a href=\"/livez\">/livez</a></p>\n"
      "</main>\n</body>\n</html>\n");
}

}  // namespace admin
