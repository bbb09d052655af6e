#ifndef SERVICE_ORDERS_FNV1A_H_
#define SERVICE_ORDERS_FNV1A_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace orders {

// FNV-1a with 64 bits: a check number that guards against damage and slips, not against
// forgery. Databases and callers hold such numbers, so it stays as it is.
constexpr std::uint64_t Fnv1a(absl::string_view text) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

}  // namespace orders

#endif  // SERVICE_ORDERS_FNV1A_H_
