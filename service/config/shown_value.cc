#include "service/config/shown_value.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace config {
namespace {

constexpr char kHidden[] = "***";

// Parameters of libpq whose values are no secrets. Whatever is not spelled like that is hidden,
// "pass%77ord" for one, which libpq reads as "password".
constexpr char kHarmless[] =
    "application_name channel_binding client_encoding connect_timeout gssencmode host hostaddr "
    "keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname load_balance_hosts "
    "options passfile port require_auth requirepeer service ssl_max_protocol_version "
    "ssl_min_protocol_version sslcert sslcertmode sslcrl sslcrldir sslkey sslmode sslnegotiation "
    "sslrootcert sslsni target_session_attrs tcp_user_timeout user";

bool IsHarmless(absl::string_view name) {
  const std::vector<absl::string_view> all = absl::StrSplit(kHarmless, ' ');
  return std::find(all.begin(), all.end(), name) != all.end();
}

// `text` is empty or begins with '?'. That one may belong to a password, and a later one begin the
// parameters: each of them begins one. What is hidden ends only at '&'.
std::string ShownParameters(absl::string_view text) {
  std::string shown;
  while (!text.empty()) {
    std::size_t end = std::min(text.find_first_of("?&", 1), text.size());
    const std::size_t equals = text.substr(0, end).find('=');
    if (equals == absl::string_view::npos) {  // The end of a password, and the host.
      const std::size_t host = std::min(text.substr(0, end).rfind('@'), end);
      absl::StrAppend(&shown, text.substr(0, 1), end == 1 ? "" : kHidden,
                      text.substr(host, end - host));
    } else if (IsHarmless(text.substr(1, equals - 1))) {
      absl::StrAppend(&shown, text.substr(0, end));
    } else {
      end = std::min(text.find('&', 1), text.size());
      absl::StrAppend(&shown, text.substr(0, equals + 1), kHidden);
    }
    text.remove_prefix(end);
  }
  return shown;
}

// `url` without its scheme. Its password may have been written with characters that should have
// been escaped: it ends at the last @ of all.
std::string ShownUrl(absl::string_view url) {
  const std::size_t parameters = std::min(url.find('?'), url.size());
  std::string shown =
      absl::StrCat(url.substr(0, parameters), ShownParameters(url.substr(parameters)));
  const std::size_t colon = shown.find(':');
  if (colon == std::string::npos) return shown;
  const std::size_t host = shown.rfind('@');
  if (host != std::string::npos && host > colon) {
    return shown.replace(colon + 1, host - colon - 1, kHidden);
  }
  // The password may have ended at an @ that is hidden by now.
  const bool hidden = colon < parameters && absl::StrContains(url.substr(parameters), "@");
  return hidden ? shown.replace(colon + 1, std::string::npos, kHidden) : shown;
}

// Where the part of `value` begins that may have a password; 0: it is no URL, nor meant to be one.
std::size_t SchemeOf(const std::string& value) {
  std::size_t end = value.find("://");
  if (end == std::string::npos && absl::StartsWithIgnoreCase(value, "postgres")) {
    end = value.find(':');
  }
  if (end == std::string::npos) return 0;
  return std::min(value.find_first_not_of('/', end + 1), value.size());
}

bool BeginsAUrl(const std::string& value) {
  const auto end = std::find_if_not(value.begin(), value.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '.' || c == '-';
  });
  return end != value.end() && *end == ':' && SchemeOf(value) != 0;
}

// "host=db password=s3cret": it may be quoted, and whatever follows is hidden with it.
std::string ShownKeywords(const std::string& value) {
  const std::size_t name = absl::AsciiStrToLower(value).find("password");
  if (name == std::string::npos) return value;
  const std::size_t equals = value.find('=', name);
  return equals == std::string::npos ? value : value.substr(0, equals + 1) + kHidden;
}

}  // namespace

std::string ShownValue(const std::string& value) {
  // A URL's parameters are ShownUrl()'s; a password among keywords may look like a URL.
  const std::string shown = BeginsAUrl(value) ? value : ShownKeywords(value);
  const std::size_t scheme = SchemeOf(shown);
  if (scheme == 0) return shown;
  return shown.substr(0, scheme) + ShownUrl(absl::string_view(shown).substr(scheme));
}

}  // namespace config
