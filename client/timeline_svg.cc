#include "client/timeline_svg.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/plain_text.h"

namespace client {
namespace {

// Pixels.
constexpr double kMargin = 24;
constexpr double kLabels = 170;
constexpr double kPlot = 500;
constexpr double kTimes = 150;
constexpr double kMarks = 260;
constexpr double kWidth = kMargin + kLabels + kPlot + kTimes + kMarks + kMargin;
constexpr double kRow = 26;
constexpr double kBar = 16;
constexpr double kNestedBar = 10;
constexpr double kLine = 19;
constexpr double kPlotLeft = kMargin + kLabels;
// Letters that fit: an average one is 7 pixels wide.
constexpr std::size_t kMostLabel = 21;
constexpr std::size_t kMostMark = 36;
constexpr std::size_t kMostLine = 145;

constexpr char kStyle[] = R"svg(<style>
text { font: 13px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #1f2933; }
.title { font-size: 15px; font-weight: bold; }
.quiet { fill: #616e7c; }
.mark { fill: #b42318; }
.grid { stroke: #e4e7eb; }
.band { fill: #f5f7fa; }
.phase { fill: #2f6fb3; }
.nested { fill: #6fa8dc; }
.forced { fill: url(#hatch); stroke: #b42318; }
.budget { fill: none; stroke: #3e4c59; stroke-dasharray: 4 3; }
</style>
<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="#e5715f"/><rect width="3" height="6" fill="#c8452f"/></pattern></defs>
)svg";

// XML has no way to write what OneLine() replaces.
std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(OneLine(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

// At most so many letters.
std::string Short(const std::string& text, std::size_t most) {
  std::size_t letters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
    if (begins && ++letters > most) return text.substr(0, i) + "\u2026";
  }
  return text;
}

// Lines of at most kMostLine letters, three at most.
std::vector<std::string> Wrapped(const std::string& text) {
  std::vector<std::string> lines = {""};
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!lines.back().empty() && lines.back().size() + word.size() >= kMostLine) {
      if (lines.size() == 3) {
        lines.back() += " \u2026";
        break;
      }
      lines.emplace_back();
    }
    absl::StrAppend(&lines.back(), lines.back().empty() ? "" : " ", word);
  }
  for (std::string& line : lines) line = Short(line, kMostLine);
  return lines;
}

class Drawing {
 public:
  explicit Drawing(const Timeline& timeline) : timeline_(timeline) {}

  std::string Draw() {
    y_ = kMargin + 12;
    for (std::size_t i = 0; i < timeline_.title.size(); ++i) {
      const auto lines = Wrapped(timeline_.title[i]);
      for (const std::string& line : lines)
        Text(kMargin, y_, line, i == 0 ? "title" : "quiet", kLine + 3);
    }
    Legend();
    const double top = y_ + 36;
    Axis(top, top + kRow * static_cast<double>(timeline_.rows.size()));
    y_ = top;
    for (std::size_t i = 0; i < timeline_.rows.size(); ++i) Row(timeline_.rows[i], i % 2 == 0);
    y_ += 26;
    for (const std::string& line : timeline_.summary) {
      const double indent = line.starts_with("  ") ? 16 : 0;
      Text(kMargin + indent, y_, Short(line, kMostLine), "", kLine);
    }
    const double height = y_ + kMargin - kLine + 8;
    return absl::StrFormat(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
               "viewBox=\"0 0 %g %g\">\n%s<rect width=\"%g\" height=\"%g\" rx=\"6\" "
               "fill=\"#ffffff\"/>\n",
               kWidth, height, kWidth, height, kStyle, kWidth, height) +
           bands_ + body_ + "</svg>\n";
  }

 private:
  static double X(std::uint64_t time, const Timeline& timeline) {
    return kPlotLeft +
           kPlot * std::min(static_cast<double>(time) / static_cast<double>(timeline.length), 1.0);
  }

  void Text(double x, double y, const std::string& text, const char* style, double advance = 0,
            const char* anchor = "start") {
    absl::StrAppendFormat(&body_,
                          "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">%s</text>\n",
                          x, y, style, anchor, Escaped(text));
    y_ += advance;
  }

  void Box(double x, double y, double width, double height, const char* style) {
    absl::StrAppendFormat(
        &body_,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" class=\"%s\"/>\n", x,
        y, width, height, style);
  }

  void Legend() {
    y_ += 6;
    double x = kPlotLeft;
    const auto entry = [&](const char* style, const char* words, double width) {
      Box(x, y_ - 10, 22, 11, style);
      Text(x + 28, y_, words, "quiet");
      x += width;
    };
    entry("phase", "a phase", 100);
    entry("nested", "a closer", 100);
    entry("budget", "its budget", 120);
    entry("forced", "cut off, failed or hung", 0);
  }

  void Axis(double top, double bottom) {
    for (const std::uint64_t tick : timeline_.ticks) {
      const double x = X(tick, timeline_);
      absl::StrAppendFormat(
          &body_, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"grid\"/>\n", x,
          top - 2, x, bottom);
      Text(x, top - 8, TimeText(tick), "quiet", 0, "middle");
    }
  }

  // The outline of a budget; without its right side when it goes on beyond the axis.
  void Budget(double left, std::uint64_t end, double y, double height) {
    const double right = X(end, timeline_);
    absl::StrAppendFormat(&body_, "<path d=\"M%.1f %.1f H%.1f V%.1f H%.1f\" class=\"budget\"/>\n",
                          end > timeline_.length ? right : left, y,
                          end > timeline_.length ? left : right, y + height,
                          end > timeline_.length ? right : left);
    if (end <= timeline_.length) {
      absl::StrAppendFormat(&body_, "<path d=\"M%.1f %.1f V%.1f\" class=\"budget\"/>\n", left, y,
                            y + height);
    }
  }

  void Row(const Timeline::Row& row, bool banded) {
    if (banded) {
      absl::StrAppendFormat(
          &bands_, "<rect x=\"%g\" y=\"%.1f\" width=\"%g\" height=\"%g\" class=\"band\"/>\n",
          kMargin / 2, y_, kWidth - kMargin, kRow);
    }
    const double height = row.nested ? kNestedBar : kBar;
    const double bar_y = y_ + (kRow - height) / 2;
    const double text_y = y_ + kRow / 2 + 4.5;
    absl::StrAppend(
        &body_, "<g><title>",
        Escaped(absl::StrCat(row.label, ": ", row.time, row.mark.empty() ? "" : ", ", row.mark)),
        "</title>\n");
    Text(kMargin + (row.nested ? 18 : 0), text_y, Short(row.label, kMostLabel),
         row.nested ? "quiet" : "");
    const double left = X(row.start, timeline_);
    // What took no time is seen as well.
    const double width = std::max(X(row.end, timeline_) - left, 2.0);
    Box(left, bar_y, width, height, row.forced ? "forced" : row.nested ? "nested" : "phase");
    // Over the bar: a budget that was overrun is seen in it.
    if (row.budget_end > row.start) Budget(left, row.budget_end, bar_y, height);
    Text(kPlotLeft + kPlot + 12, text_y, row.time, "quiet");
    if (!row.mark.empty()) {
      Text(kPlotLeft + kPlot + kTimes + 12, text_y, Short(row.mark, kMostMark), "mark");
    }
    body_ += "</g>\n";
    y_ += kRow;
  }

  const Timeline& timeline_;
  std::string bands_;  // Behind everything.
  std::string body_;
  double y_ = 0;
};

}  // namespace

std::string TimelineSvg(const Timeline& timeline) { return Drawing(timeline).Draw(); }

}  // namespace client
