#ifndef SERVICE_CONFIG_VALUE_END_H_
#define SERVICE_CONFIG_VALUE_END_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace config {

// INVALID_ARGUMENT, a sentence that shows it escaped and without passwords: the value of --`flag` ends
// with a blank or a line break. Nobody would see it: the \n of a secret's file, the \r of another
// system.
absl::Status CheckEnd(absl::string_view flag, const std::string& value);

}  // namespace config

#endif  // SERVICE_CONFIG_VALUE_END_H_
