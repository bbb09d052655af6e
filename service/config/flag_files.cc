#include "service/config/flag_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "service/files/read_file.h"

namespace config {
namespace {

using Strings = std::vector<std::string>;

bool IsPipeOrDevice(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

absl::Status Refuse(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("--flagfile=", path, ": ", why));
}

// The values of each --flagfile, -flagfile, "--flagfile FILE".
Strings FilesIn(const Strings& words) {
  Strings files;
  for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    std::string value;
    if (words[i] == "--flagfile" || words[i] == "-flagfile") {
      if (i + 1 < words.size()) value = words[++i];
    } else if (words[i].starts_with("--flagfile=") || words[i].starts_with("-flagfile=")) {
      value = words[i].substr(words[i].find('=') + 1);
    }
    if (value.empty()) continue;
    for (const auto each : absl::StrSplit(value, ',')) files.emplace_back(each);
  }
  return files;
}

// As Abseil reads a file: a flag in each line, blanks before it.
Strings WordsOf(const std::string& text) {
  Strings words;
  for (const auto line : absl::StrSplit(text, '\n')) {
    words.emplace_back(absl::StripLeadingAsciiWhitespace(line));
    if (words.back().empty() || words.back()[0] == '#') words.pop_back();
  }
  return words;
}

absl::Status CheckText(const std::string& path, const std::string& text) {
  // Of UTF-8 and of UTF-16.
  for (const char* mark : {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"}) {
    if (text.starts_with(mark)) {
      return Refuse(path, "it begins with a byte order mark: save it as UTF-8 without one");
    }
  }
  if (text.find("\r\n") != std::string::npos) {
    return Refuse(path, "its lines end with \\r\\n: save it with \\n alone");
  }
  return absl::OkStatus();
}

// `open`: the files that lead to these words. A path that leads to itself comes again as written.
absl::Status Check(const Strings& words, Strings& open) {
  for (const std::string& path : FilesIn(words)) {
    if (IsPipeOrDevice(path)) continue;
    if (std::find(open.begin(), open.end(), path) != open.end()) {
      return Refuse(path, "it includes itself");
    }
    const absl::StatusOr<std::string> text = files::ReadFile(path);
    if (!text.ok()) return Refuse(path, text.status().message());
    if (absl::Status good = CheckText(path, *text); !good.ok()) return good;
    open.push_back(path);
    if (absl::Status good = Check(WordsOf(*text), open); !good.ok()) return good;
    open.pop_back();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFlagFiles(const Strings& words) {
  Strings open;
  return Check(words, open);
}

}  // namespace config
