#include "service/config/value_end.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "service/config/shown_value.h"

namespace config {

absl::Status CheckEnd(absl::string_view flag, const std::string& value) {
  if (value.empty() || !absl::ascii_isspace(static_cast<unsigned char>(value.back()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " must not end with a blank or a line break, is \"",
                   absl::Utf8SafeCEscape(ShownValue(value)), "\""));
}

}  // namespace config
