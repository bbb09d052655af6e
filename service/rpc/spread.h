#ifndef SERVICE_RPC_SPREAD_H_
#define SERVICE_RPC_SPREAD_H_

#include <cstddef>
#include <cstdint>

namespace rpc {

// Which of `places` an object falls to; the same one each time. Objects of one kind lie
// at distances that have low bits in common: mixes them all.
inline std::size_t Spread(const void* object, std::size_t places) {
  const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(object) * 0x9E3779B97F4A7C15u;
  return (mixed >> 40) % places;
}

}  // namespace rpc

#endif  // SERVICE_RPC_SPREAD_H_
