#ifndef SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_

#include <stdexcept>
#include <string>

namespace lifecycle {

// Unless `holds`, writes `sentence` to stderr and ends the process through std::terminate(), in
// every build. unplanned_end.h says what happens then.
//
// Requires: the calling thread holds no lock that closing resources may need.
inline void Require(bool holds, const std::string& sentence) noexcept {
  const auto broken = [&] { throw std::logic_error("broken precondition: " + sentence); };
  if (!holds) broken();
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_PRECONDITION_H_
