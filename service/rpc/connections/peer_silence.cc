#include "service/rpc/connections/peer_silence.h"

#include <algorithm>

namespace rpc {

void PeerSilence::Note(TimePoint now, const Numbers& numbers) {
  if (numbers.unsent != numbers_.unsent) moved_ = now;
  moved_ = std::max(moved_, numbers.received);
  const bool stand_still = numbers.requests && numbers.requests == numbers_.requests &&
                           numbers.requests->begun > 0 && numbers.requests->open == 0;
  if (!stand_still) requested_ = std::max({requested_, numbers.received, numbers.sent});
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
  const bool stalls = owed() || (numbers_.requests && numbers_.requests->open > 0);
  if (std::max(still, idle) >= (stalls ? kStalled : std::max(kStalled, silence_))) return false;
  const Duration pause = 2 * numbers_.round_trip + kBdpPing;
  if (now - std::max({numbers_.received, numbers_.sent, awake}) < pause) return true;
  return now - std::max({last_unsent_, requested_, awake}) < std::max({silence_, pause, 2 * took_});
}

}  // namespace rpc
