#ifndef SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_

#include <stdexcept>
#include <string>

namespace lifecycle {

// Ends the process through std::terminate(), with `sentence` on stderr, unless `holds`: in
// every build. What else happens then: unplanned_end.h.
//
// Requires: no lock is held that closing what is open may need.
inline void Require(bool holds, const std::string& sentence) noexcept {
  const auto broken = [&] { throw std::logic_error("broken precondition: " + sentence); };
  if (!holds) broken();
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_
