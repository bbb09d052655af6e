#ifndef SERVICE_RPC_CALLS_SPREAD_H_
#define SERVICE_RPC_CALLS_SPREAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rpc {

// Maps an object to one of `places`, always the same one. Addresses of one kind of object have low
// bits in common, so all bits are mixed.
inline std::size_t Spread(const void* object, std::size_t places) {
  const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(object) * 0x9E3779B97F4A7C15u;
  return (mixed >> 40) % places;
}

// A number for each thread that asks, from 0 up: modulo the places, it spreads threads evenly.
inline std::size_t ThisThread() {
  static std::atomic<std::size_t> threads{0};
  static thread_local const std::size_t thread = threads.fetch_add(1, std::memory_order_relaxed);
  return thread;
}

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_SPREAD_H_
