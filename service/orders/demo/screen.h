#ifndef SERVICE_ORDERS_DEMO_SCREEN_H_
#define SERVICE_ORDERS_DEMO_SCREEN_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

namespace demo {

// How a line is meant; on a terminal it shows as colour.
enum class Tone { kPlain, kQuiet, kStrong, kGood, kBad };

// What the demonstration shows: lines that stay, each with the time since the
// beginning, and below them, on a terminal, one line that always tells the latest.
//
// Threads: one at a time.
class Screen {
 public:
  using Clock = std::chrono::steady_clock;

  // Not on a terminal: no colour, and of the line that tells the latest a copy every
  // second.
  Screen(std::ostream& out, bool terminal);
  // Takes the line that tells the latest away.
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // "  3.21s  text".
  void Say(const std::string& text, Tone tone = Tone::kPlain);
  // The same without the time.
  void Continue(const std::string& text, Tone tone = Tone::kPlain);
  // Replaces what was the latest; empty: takes it away.
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
