#include "client/timeline_svg.h"

#include <regex>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

Timeline Example() {
  return {.title = {"orders", "why"},
          .rows = {{.label = "DrainingCalls",
                    .start = 0,
                    .end = 1000,
                    .budget_end = 1500,
                    .time = "1 s of 1.5 s",
                    .forced = true,
                    .mark = "CallsCut"},
                   {.label = "ClosingResources", .start = 1000, .end = 1500, .budget_end = 9000},
                   {.label = "database", .nested = true, .start = 1000, .end = 1500}},
          .summary = {"calls: none"},
          .length = 2000,
          .ticks = {0, 1000, 2000}};
}

// What is drawn in this style in the rows: "x width" of each.
std::vector<std::string> Boxes(const std::string& svg, const std::string& style) {
  std::vector<std::string> boxes;
  const std::string rows = svg.substr(svg.find("<g>"));
  const std::regex box("<rect x=\"([0-9.]+)\" y=\"[0-9.]+\" width=\"([0-9.]+)\"[^>]*class=\"" +
                       style + "\"/>");
  for (std::sregex_iterator it(rows.begin(), rows.end(), box), end; it != end; ++it) {
    boxes.push_back((*it)[1].str() + " " + (*it)[2].str());
  }
  return boxes;
}

// Tags that are opened and not closed, or the other way round.
std::vector<std::string> Unbalanced(const std::string& xml) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z]+)[^>]*?(/?)>");
  for (std::sregex_iterator it(xml.begin(), xml.end(), tag), end; it != end; ++it) {
    if ((*it)[3].matched && (*it)[3].length() > 0) continue;
    if ((*it)[1].length() == 0) {
      open.push_back((*it)[2]);
    } else if (!open.empty() && open.back() == (*it)[2]) {
      open.pop_back();
    } else {
      open.push_back("/" + (*it)[2].str());
    }
  }
  return open;
}

TEST(TimelineSvg, HasEachRowsBarAtItsTime) {
  const std::string svg = TimelineSvg(Example());
  EXPECT_THAT(Boxes(svg, "forced"), ElementsAre("194.0 250.0"));
  EXPECT_THAT(Boxes(svg, "phase"), ElementsAre("444.0 125.0"));
  EXPECT_THAT(Boxes(svg, "nested"), ElementsAre("444.0 125.0"));
}

TEST(TimelineSvg, OutlinesBudgetsLeavingThemOpenBeyondTheAxis) {
  const std::string svg = TimelineSvg(Example());
  EXPECT_THAT(svg, HasSubstr("H569.0 V"));  // To 1500, and down.
  EXPECT_THAT(svg, HasSubstr("M694.0"));    // From the end, back, down, and to the end.
  EXPECT_THAT(svg, Not(HasSubstr("H694.0 V")));
}

TEST(TimelineSvg, ShowsWhatTookNoTime) {
  Timeline timeline = Example();
  timeline.rows = {{.label = "SavingState", .start = 1000, .end = 1000}};
  EXPECT_THAT(Boxes(TimelineSvg(timeline), "phase"), ElementsAre("444.0 2.0"));
}

TEST(TimelineSvg, SaysInWordsWhatWasForced) {
  EXPECT_THAT(TimelineSvg(Example()), HasSubstr("class=\"mark\" text-anchor=\"start\">CallsCut<"));
}

TEST(TimelineSvg, IsXmlWhateverTheWords) {
  Timeline timeline = Example();
  timeline.title[1] = "<script>&\x01\"'";
  timeline.rows[0].label = "</svg>";
  const std::string svg = TimelineSvg(timeline);
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&amp; \"'"));
  EXPECT_THAT(svg, HasSubstr("&lt;/svg&gt;"));
  EXPECT_THAT(Unbalanced(svg), IsEmpty());
}

TEST(TimelineSvg, KeepsTruncatedTextInTheTooltip) {
  Timeline timeline = Example();
  const std::string name(200, 'x');
  timeline.rows[0].label = name;
  const std::string svg = TimelineSvg(timeline);
  EXPECT_THAT(svg, HasSubstr("<title>" + name + ": 1 s of 1.5 s, CallsCut</title>"));
  EXPECT_THAT(svg, HasSubstr(">" + std::string(21, 'x') + "\u2026</text>"));
}

TEST(TimelineSvg, IsDrawnWithoutAnyRow) {
  EXPECT_THAT(Unbalanced(TimelineSvg({.title = {"orders"}, .length = 1, .ticks = {0}})), SizeIs(0));
}

}  // namespace
}  // namespace client
