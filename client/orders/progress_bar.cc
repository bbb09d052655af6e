#include "client/orders/progress_bar.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/terminal.h"

namespace client {
namespace {

constexpr std::int64_t kWidth = 40;

}  // namespace

ProgressBar::ProgressBar(std::ostream* out, std::int64_t total)
    : out_(out), total_(std::max<std::int64_t>(total, 1)) {}

ProgressBar::~ProgressBar() { Hide(); }

void ProgressBar::Show(std::int64_t stored, std::int64_t sent) {
  if (out_ == nullptr) return;
  const std::int64_t stored_width = stored * kWidth / total_;
  const std::int64_t sent_width = std::max(stored_width, sent * kWidth / total_);
  const std::string line =
      absl::StrCat("[", std::string(stored_width, '='), std::string(sent_width - stored_width, '-'),
                   std::string(kWidth - sent_width, ' '), "] ", stored, " of ", total_, " stored");
  if (line == drawn_) return;
  *out_ << kEraseLine << line << std::flush;
  drawn_ = line;
}

void ProgressBar::Hide() {
  if (!drawn_.empty()) *out_ << kEraseLine << std::flush;
  drawn_.clear();
}

}  // namespace client
