#ifndef CLIENT_TIMELINE_SVG_H_
#define CLIENT_TIMELINE_SVG_H_

#include <string>

#include "client/shutdown_report.h"

namespace client {

// A shutdown report as an image: an SVG file that needs nothing besides, readable on
// light and on dark pages.
//
// Phases are bars on an axis of time, closers lie below theirs, a dashed outline is
// the budget, and what was forced is red and hatched. Whatever is cut short for its
// place stands in full in the tooltip of its row.
std::string TimelineSvg(const Timeline& timeline);

}  // namespace client

#endif  // CLIENT_TIMELINE_SVG_H_
