#ifndef CLIENT_ORDERS_PROGRESS_BAR_H_
#define CLIENT_ORDERS_PROGRESS_BAR_H_

#include <cstdint>
#include <ostream>
#include <string>

namespace client {

// One line on a terminal that shows how far an import is: '=' is stored, '-' is
// sent.
//
//     [==============-----               ] 460 of 1000 stored
//
// Threads: one at a time. Lifetime: takes its line away when destroyed.
class ProgressBar {
 public:
  // `out` null: shows nothing.
  ProgressBar(std::ostream* out, std::int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Draws when there is something new to see.
  void Show(std::int64_t stored, std::int64_t sent);

  // Takes the line away, until the next Show().
  void Hide();

 private:
  std::ostream* const out_;
  const std::int64_t total_;
  std::string drawn_;
};

}  // namespace client

#endif  // CLIENT_ORDERS_PROGRESS_BAR_H_
