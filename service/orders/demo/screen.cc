#include "service/orders/demo/screen.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace demo {
namespace {

// Erases one row: the status line must not wrap. DECAWM, off and on again in one write, so that no
// end of the process leaves the terminal without.
constexpr char kEraseLine[] = "\r\x1b[K";
constexpr char kNoWrap[] = "\x1b[?7l";
constexpr char kWrap[] = "\x1b[?7h";
constexpr char kBack[] = "\x1b[0m";
constexpr std::chrono::seconds kBetweenCopies{1};
// As wide as "  3.21s  ".
constexpr char kMargin[] = "          ";

const char* Colour(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kQuiet:
      return "\x1b[2m";
    case Tone::kStrong:
      return "\x1b[1m";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kBad:
      return "\x1b[1;31m";
  }
  return "";
}

}  // namespace

Screen::Screen(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

Screen::~Screen() {
  Erase();
  out_ << std::flush;
}

void Screen::Say(const std::string& text, Tone tone) {
  const std::chrono::duration<double> since = Clock::now() - start_;
  Write(absl::StrFormat("%6.2fs   ", since.count()), text, tone);
}

void Screen::Continue(const std::string& text, Tone tone) { Write(kMargin, text, tone); }

void Screen::Latest(const std::string& text) {
  if (terminal_) {
    if (text == latest_) return;
    Erase();
    latest_ = text;
    if (text.empty()) return;
    out_ << absl::StrCat(kNoWrap, kMargin, Colour(Tone::kQuiet), latest_, kBack, kWrap)
         << std::flush;
    return;
  }
  if (text.empty()) return;
  const Clock::time_point now = Clock::now();
  if (latest_copied_at_ && now - *latest_copied_at_ < kBetweenCopies) return;
  latest_copied_at_ = now;
  Continue(text, Tone::kQuiet);
}

void Screen::Write(const std::string& margin, const std::string& text, Tone tone) {
  Erase();
  out_ << margin;
  if (terminal_) {
    out_ << Colour(tone) << text << kBack;
  } else {
    out_ << text;
  }
  out_ << '\n';
  if (!latest_.empty()) {
    const std::string again = std::exchange(latest_, "");
    Latest(again);
  }
  out_ << std::flush;
}

void Screen::Erase() {
  if (!latest_.empty()) out_ << kEraseLine;
}

std::string Thousands(std::int64_t number) {
  std::string text = absl::StrCat(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

}  // namespace demo
