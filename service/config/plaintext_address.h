#ifndef SERVICE_CONFIG_PLAINTEXT_ADDRESS_H_
#define SERVICE_CONFIG_PLAINTEXT_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace config {

// INVALID_ARGUMENT, a sentence: one of the `addresses` of --`flag`, which are separated by commas and
// served in plaintext, can be reached from other machines, or may be, as what systemd passes.
//
// Loopback and socket files cannot: "127.0.0.1:50060", "[::1]:0", "localhost:50060",
// "unix:/run/admin.sock". A name other than localhost can, whatever it looks like.
//
// `risk`: what whoever reaches it can do; `instead`: what else to use, ", --admin_tls".
absl::Status CheckPlaintextAddresses(absl::string_view flag, const std::string& addresses,
                                     absl::string_view risk, absl::string_view instead);

}  // namespace config

#endif  // SERVICE_CONFIG_PLAINTEXT_ADDRESS_H_
