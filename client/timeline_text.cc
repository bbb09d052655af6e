#include "client/timeline_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace client {
namespace {

constexpr std::size_t kWidth = 48;
constexpr std::size_t kMostLabel = 24;

// The column that stands for a time; kWidth is the end of the axis.
std::size_t ColumnOf(std::uint64_t time, const Timeline& timeline) {
  const double part = static_cast<double>(time) / static_cast<double>(timeline.length);
  return std::min(static_cast<std::size_t>(part * kWidth), kWidth);
}

std::string Padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

std::string LabelOf(const Timeline::Row& row) {
  std::string label = row.label;
  if (label.size() > kMostLabel) {
    // Not in the middle of a letter.
    std::size_t end = kMostLabel - 3;
    while (end > 0 && (static_cast<unsigned char>(label[end]) & 0xC0) == 0x80) --end;
    label = label.substr(0, end) + "...";
  }
  return absl::StrCat(row.nested ? "    " : "  ", label);
}

std::string Bar(const Timeline::Row& row, const Timeline& timeline) {
  std::string bar(kWidth, ' ');
  const std::size_t begin = std::min(ColumnOf(row.start, timeline), kWidth - 1);
  const std::size_t end = std::max(ColumnOf(row.end, timeline), begin + 1);
  const std::size_t budget = ColumnOf(row.budget_end, timeline);
  if (budget > end) std::fill(bar.begin() + end, bar.begin() + budget, '.');
  std::fill(bar.begin() + begin, bar.begin() + end, row.forced ? '#' : '=');
  if (row.budget_end > row.start && budget < end) bar[std::max(budget, begin)] = '|';
  return bar;
}

// The times that the axis marks, each where it begins; one that has no room is left
// out.
std::string Axis(const Timeline& timeline) {
  std::string axis;
  for (const std::uint64_t tick : timeline.ticks) {
    const std::size_t column = ColumnOf(tick, timeline);
    if (column > 0 && column <= axis.size()) continue;
    axis = absl::StrCat(Padded(axis, column), TimeText(tick));
  }
  return axis;
}

}  // namespace

std::string TimelineText(const Timeline& timeline) {
  std::size_t width = 0;
  for (const Timeline::Row& row : timeline.rows) width = std::max(width, LabelOf(row).size());
  std::string text;
  for (const std::string& line : timeline.title) absl::StrAppend(&text, line, "\n");
  absl::StrAppend(&text, "\n", Padded("", width + 2), Axis(timeline), "\n");
  for (const Timeline::Row& row : timeline.rows) {
    absl::StrAppend(&text, Padded(LabelOf(row), width), " |", Bar(row, timeline), "| ", row.time,
                    row.mark.empty() ? "" : "  ! ", row.mark, "\n");
  }
  absl::StrAppend(&text, "\n");
  for (const std::string& line : timeline.summary) absl::StrAppend(&text, line, "\n");
  return text;
}

}  // namespace client
