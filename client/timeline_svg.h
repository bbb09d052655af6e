#ifndef CLIENT_TIMELINE_SVG_H_
#define CLIENT_TIMELINE_SVG_H_

#include <string>

#include "client/shutdown_report.h"

namespace client {

// Draws a shutdown report as a self-contained SVG image, readable on light and dark pages.
//
// Phases are bars on a time axis, with their closers below them; a dashed outline is the budget,
// and what was forced is red and hatched. Text that is truncated appears in full in the tooltip of
// its row.
std::string TimelineSvg(const Timeline& timeline);

}  // namespace client

#endif  // CLIENT_TIMELINE_SVG_H_
