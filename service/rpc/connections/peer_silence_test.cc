#include "service/rpc/connections/peer_silence.h"

#include <gtest/gtest.h>

#include <chrono>
#include <ostream>
#include <vector>

namespace rpc {
namespace {

using std::chrono::milliseconds;
using TimePoint = PeerSilence::TimePoint;
using Duration = PeerSilence::Duration;

// Milliseconds since the drain began.
TimePoint At(int when) { return TimePoint() + std::chrono::hours(1) + milliseconds(when); }

// What the kernel says, at this time.
struct Look {
  int at;
  int received = 0;
  int sent = 0;
  int unsent = 0;
  int round_trip = 1;
  int begun = -1;  // Requests, and of these open ones. -1: nobody knows.
  int open = 0;
};

struct Row {
  const char* name;
  std::vector<Look> looks;
  int silent_at;  // Held a millisecond before, if the last of `looks` is repeated.
  int busy = 0;
  int awake = 0;
};
std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }

class PeerSilenceTest : public testing::TestWithParam<Row> {
 protected:
  static bool HoldsAt(int when) {
    const Row& row = GetParam();
    PeerSilence peer(At(0), std::chrono::seconds(1));
    std::vector<Look> looks = row.looks;
    looks.push_back(looks.back());
    looks.back().at = when;
    for (const Look& look : looks) {
      PeerSilence::Numbers numbers{.received = At(look.received),
                                   .sent = At(look.sent),
                                   .round_trip = milliseconds(look.round_trip),
                                   .unsent = look.unsent};
      if (look.begun >= 0) numbers.requests = {look.begun, look.open};
      peer.Note(At(look.at), numbers);
    }
    return peer.Holds(At(when), At(row.busy), At(row.awake));
  }
};

TEST_P(PeerSilenceTest, HoldsUntilNothingCanBeUnderWay) {
  EXPECT_TRUE(HoldsAt(GetParam().silent_at - 1));
  EXPECT_FALSE(HoldsAt(GetParam().silent_at));
}

INSTANTIATE_TEST_SUITE_P(
    Of, PeerSilenceTest,
    testing::Values(
        Row{"NothingSince", {{.at = 0}}, 1000},
        Row{"AByteReceived", {{.at = 500, .received = 400}}, 1400},
        Row{"AByteSent", {{.at = 500, .sent = 300}}, 1300},
        Row{"ALongWay", {{.at = 0, .round_trip = 600}}, 1400},
        Row{"AnAnswerThatLeft", {{.at = 100, .unsent = 9}, {.at = 300}}, 1100},
        // It was 800 ms on its way, for all that is known.
        Row{"ASlowReader", {{.at = 0}, {.at = 800, .unsent = 9}, {.at = 810}}, 2400},
        Row{"AnAnswerThatDoesNotLeave", {{.at = 100, .unsent = 9}}, 5100},
        Row{"AnAnswerOfWhichSomeLeaves",
            {{.at = 100, .unsent = 9}, {.at = 2000, .unsent = 5}},
            7000},
        Row{"AnAnswerUnreadByOneWhoTalks",
            {{.at = 0, .unsent = 9}, {.at = 900, .received = 800, .unsent = 9}},
            5800},
        Row{"APing", {{.at = 0, .begun = 3}, {.at = 500, .received = 400, .begun = 3}}, 1000},
        Row{"APingAtTheEnd",
            {{.at = 0, .begun = 3},
             {.at = 950, .received = 940, .sent = 941, .round_trip = 20, .begun = 3}},
            1181},
        Row{"ARequest", {{.at = 0, .begun = 3}, {.at = 500, .received = 400, .begun = 4}}, 1400},
        Row{"ARequestThatWasOpen",
            {{.at = 0, .begun = 3, .open = 1}, {.at = 500, .sent = 300, .begun = 3}},
            1300},
        Row{"ARequestThatIsOpen",
            {{.at = 0, .begun = 3, .open = 1}, {.at = 500, .received = 400, .begun = 3, .open = 1}},
            1400},
        Row{"APeerThatHasNotAskedYet",
            {{.at = 0, .begun = 0}, {.at = 500, .received = 400, .begun = 0}},
            1400},
        Row{"AProcessThatSlept", {{.at = 700}}, 1600, /*busy=*/0, /*awake=*/600}),
    [](const auto& info) { return info.param.name; });

// A peer that sends something other than a request, for ever.
TEST(PeerSilence, GivesUpWhoOnlyTalks) {
  PeerSilence peer(At(0), std::chrono::seconds(1));
  for (int now = 0; now < 5000; now += 100) {
    peer.Note(At(now), {.received = At(now), .sent = At(0)});
    EXPECT_TRUE(peer.Holds(At(now), /*busy=*/At(0), /*awake=*/At(0))) << now;
  }
  peer.Note(At(5000), {.received = At(5000), .sent = At(0)});
  EXPECT_FALSE(peer.Holds(At(5000), At(0), At(0)));
  EXPECT_TRUE(peer.Holds(At(5000), /*busy=*/At(1), At(0)));
}

// Also beyond what is granted to bytes that do not leave.
TEST(PeerSilence, LastsAsLongAsItIsTold) {
  PeerSilence peer(At(0), std::chrono::seconds(6));
  peer.Note(At(0), {.received = At(0), .sent = At(0)});
  EXPECT_TRUE(peer.Holds(At(5999), At(0), At(0)));
  EXPECT_FALSE(peer.Holds(At(6000), At(0), At(0)));
  // What stalls is given up all the same.
  peer.Note(At(100), {.received = At(100), .sent = At(0), .unsent = 9});
  EXPECT_TRUE(peer.Holds(At(5099), At(0), At(0)));
  EXPECT_FALSE(peer.Holds(At(5100), At(0), At(0)));
}

}  // namespace
}  // namespace rpc
