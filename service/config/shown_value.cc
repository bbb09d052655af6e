#include "service/config/shown_value.h"

#include <cstddef>

namespace config {
namespace {

constexpr char kHidden[] = "***";
constexpr char kPasswordIs[] = "password=";

void HideInParameters(std::string& value, std::size_t from) {
  for (std::size_t at = value.find(kPasswordIs, from); at != std::string::npos;
       at = value.find(kPasswordIs, at)) {
    at += sizeof kPasswordIs - 1;
    value.replace(at, value.find_first_of("&#", at) - at, kHidden);
  }
}

}  // namespace

std::string ShownValue(const std::string& value) {
  const std::size_t scheme = value.find("://");
  if (scheme == std::string::npos) return value;
  std::string shown = value;
  const std::size_t user = scheme + 3;
  HideInParameters(shown, user);
  // A password may have been written with characters that should have been escaped: it ends at the
  // last @ that can be meant.
  const std::size_t host = shown.rfind('@', shown.find('?', user));
  const std::size_t password = shown.find(':', user);
  if (host != std::string::npos && host > user && password < host) {
    shown.replace(password + 1, host - password - 1, kHidden);
  }
  return shown;
}

}  // namespace config
