#ifndef SERVICE_RPC_SPREAD_H_
#define SERVICE_RPC_SPREAD_H_

#include <cstddef>
#include <cstdint>

namespace rpc {

// Maps an object to one of `places`, always the same one. Addresses of one kind of object have low
// bits in common, so all bits are mixed.
inline std::size_t Spread(const void* object, std::size_t places) {
  const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(object) * 0x9E3779B97F4A7C15u;
  return (mixed >> 40) % places;
}

}  // namespace rpc

#endif  // SERVICE_RPC_SPREAD_H_
