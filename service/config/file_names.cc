#include "service/config/file_names.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace config {
namespace {

std::string Whole(absl::string_view file) {
  std::error_code error;
  return std::filesystem::absolute(std::string(file), error).lexically_normal();
}

}  // namespace

absl::Status FileNames::Write(absl::string_view flag, absl::string_view file) {
  const bool is_device = absl::StartsWith(file, "/dev/") && !absl::StartsWith(file, "/dev/shm/");
  if (file.empty() || is_device) return absl::OkStatus();
  if (absl::Status free = Read(flag, file); !free.ok()) return free;
  written_[Whole(file)] = std::string(flag);
  return absl::OkStatus();
}

absl::Status FileNames::WriteSockets(absl::string_view flag, const std::string& addresses) {
  for (absl::string_view each : absl::StrSplit(addresses, ',')) {
    if (!absl::ConsumePrefix(&each, "unix:")) continue;
    if (absl::Status added = Write(flag, each); !added.ok()) return added;
  }
  return absl::OkStatus();
}

absl::Status FileNames::Read(absl::string_view flag, absl::string_view file) const {
  if (file.empty()) return absl::OkStatus();
  const auto other = written_.find(Whole(file));
  if (other == written_.end() || other->second == flag) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, " and --", other->second,
                                                 " name one file, ", other->first,
                                                 ": give each its own"));
}

}  // namespace config
