#include "service/orders/random_id.h"

#include <sys/random.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "service/lifecycle/last_resort/precondition.h"

namespace orders {

std::string NewRandomId() {
  std::array<char, 16> bits;
  // The kernel gives so few bytes whole, and waits for nothing once the machine has started.
  const auto drawn = getrandom(bits.data(), bits.size(), 0);
  lifecycle::Require(drawn == static_cast<ssize_t>(bits.size()),
                     "the operating system has no random bits: getrandom() fails");
  return absl::BytesToHexString(absl::string_view(bits.data(), bits.size()));
}

}  // namespace orders
