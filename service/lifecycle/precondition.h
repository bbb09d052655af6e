#ifndef SERVICE_LIFECYCLE_PRECONDITION_H_
#define SERVICE_LIFECYCLE_PRECONDITION_H_

#include <exception>
#include <string_view>

#include "service/lifecycle/last_words.h"

namespace lifecycle {

// Ends the process through std::terminate(), with `sentence` on stderr, unless `holds`: in
// every build. What happens then: unplanned_end.h.
//
// Requires: no lock is held that closing what is open may need.
inline void Require(bool holds, std::string_view sentence) {
  if (holds) return;
  WriteLastWords({"broken precondition: ", sentence});
  std::terminate();
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_PRECONDITION_H_
