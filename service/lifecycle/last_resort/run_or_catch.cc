#include "service/lifecycle/last_resort/run_or_catch.h"

#include <exception>

#include "absl/strings/str_cat.h"

namespace lifecycle {

absl::Status RunOrCatch(const std::function<absl::Status()>& work) {
  try {
    return work();
  } catch (const std::exception& thrown) {
    return absl::InternalError(absl::StrCat("threw: ", thrown.what()));
  } catch (...) {
    return absl::InternalError("threw something that is not a std::exception");
  }
}

}  // namespace lifecycle
