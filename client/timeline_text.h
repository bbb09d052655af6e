#ifndef CLIENT_TIMELINE_TEXT_H_
#define CLIENT_TIMELINE_TEXT_H_

#include <string>

#include "client/shutdown_report.h"

namespace client {

// Draws a shutdown report for a terminal, in characters that every terminal has:
//
//                          0         500 ms    1 s       1.5 s
//   LameDuck               |==========================...| 1.31 s of 5 s
//   DrainingConnections    |                          =..| 28 ms of 12 s
//   ClosingResources       |                           ##| 51 ms of 2 s  ! 1 not closed well
//     database           |                            #| 30 ms  ! hung
//
// '=' is the time it took, '.' the rest of its budget, '|' the end of the budget if it ended before
// that, '#' time in which something was forced.
std::string TimelineText(const Timeline& timeline);

}  // namespace client

#endif  // CLIENT_TIMELINE_TEXT_H_
