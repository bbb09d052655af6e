#ifndef SERVICE_ORDERS_DEMO_SCREEN_H_
#define SERVICE_ORDERS_DEMO_SCREEN_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

namespace demo {

// The meaning of a line, shown as colour on a terminal.
enum class Tone { kPlain, kQuiet, kStrong, kGood, kBad };

// The demonstration's output: lines that stay, each with the time since the start, and,
// on a terminal, a status line below them that is updated in place.
//
// Threads: one at a time.
class Screen {
 public:
  using Clock = std::chrono::steady_clock;

  // Without a terminal there is no colour, and the status line is printed once a second.
  Screen(std::ostream& out, bool terminal);
  // Erases the status line.
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // "  3.21s  text".
  void Say(const std::string& text, Tone tone = Tone::kPlain);
  // The same without the time.
  void Continue(const std::string& text, Tone tone = Tone::kPlain);
  // Replaces the status line; empty: erases it. What the terminal has no column for is not shown.
  void Latest(const std::string& text);

 private:
  void Write(const std::string& margin, const std::string& text, Tone tone);
  void Erase();

  std::ostream& out_;
  const bool terminal_;
  const Clock::time_point start_ = Clock::now();
  std::string latest_;
  std::optional<Clock::time_point> latest_copied_at_;
};

// 1234567 as "1,234,567".
std::string Thousands(std::int64_t number);

}  // namespace demo

#endif  // SERVICE_ORDERS_DEMO_SCREEN_H_
