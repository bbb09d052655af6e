#include "service/config/plaintext_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace config {
namespace {

bool IsLocal(absl::string_view address) {
  if (absl::StartsWith(address, "unix:")) return true;
  const std::string host(address.substr(0, address.rfind(':')));
  in_addr number{};  // In the order of the network. A name may begin with "127.", too.
  return host == "[::1]" || host == "localhost" ||
         (inet_pton(AF_INET, host.c_str(), &number) == 1 && ntohl(number.s_addr) >> 24 == 127);
}

}  // namespace

absl::Status CheckPlaintextAddresses(absl::string_view flag, const std::string& addresses,
                                     absl::string_view risk, absl::string_view instead) {
  for (const absl::string_view each : absl::StrSplit(addresses, ',', absl::SkipEmpty())) {
    if (IsLocal(each)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, "=", each, absl::StartsWith(each, "fd:") ? " may" : " can",
        " be reached from other machines, and whoever reaches it can ", risk, ": use 127.0.0.1",
        instead, ", or --admin_allow_plaintext if the network keeps others away"));
  }
  return absl::OkStatus();
}

}  // namespace config
