#include "service/rpc/peer_silence.h"

#include <algorithm>

namespace rpc {

void PeerSilence::Note(TimePoint now, const Numbers& numbers) {
  if (numbers.unsent != numbers_.unsent) moved_ = now;
  moved_ = std::max(moved_, numbers.received);
  numbers_ = numbers;
  if (numbers.unsent == 0) {
    all_sent_ = now;
  } else {
    last_unsent_ = now;
    took_ = std::max(took_, now - all_sent_);
  }
}

bool PeerSilence::Holds(TimePoint now, TimePoint busy, TimePoint awake) const {
  const Duration still = now - std::max(moved_, awake);
  const Duration idle = now - std::max({last_unsent_, busy, awake});
  if (std::max(still, idle) >= kStalled) return false;
  const Duration enough = std::max({kSilence, 2 * numbers_.round_trip + kBdpPing, 2 * took_});
  const Duration silent = now - std::max({last_unsent_, numbers_.received, numbers_.sent, awake});
  return silent < enough;
}

}  // namespace rpc
