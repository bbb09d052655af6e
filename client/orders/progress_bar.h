#ifndef CLIENT_ORDERS_PROGRESS_BAR_H_
#define CLIENT_ORDERS_PROGRESS_BAR_H_

#include <cstdint>
#include <ostream>
#include <string>

namespace client {

// The progress of an import in one line of a terminal: '=' is stored, '-' is sent.
//
//     [==============-----               ] 460 of 1000 stored
//
// Threads: one at a time. Lifetime: erases its line when destroyed.
class ProgressBar {
 public:
  // `out` null: shows nothing.
  ProgressBar(std::ostream* out, std::int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Redraws if something has changed.
  void Show(std::int64_t stored, std::int64_t sent);

  // Erases the line until the next Show().
  void Hide();

 private:
  std::ostream* const out_;
  const std::int64_t total_;
  std::string drawn_;
};

}  // namespace client

#endif  // CLIENT_ORDERS_PROGRESS_BAR_H_
