#ifndef SERVICE_LIFECYCLE_CALL_TALLY_H_
#define SERVICE_LIFECYCLE_CALL_TALLY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lifecycle {

// What became of the calls that ran when a server began to leave, or came later.
struct CallTally {
  struct Method {
    // "/orders.v1.OrdersService/PlaceOrder"; empty: calls whose method is not known.
    std::string name{};
    // Ended by the handler, and the caller was told.
    std::int64_t finished = 0;
    // Ended without that: the caller had gone, or the call was cut off.
    std::int64_t cancelled = 0;
    // Did not end.
    std::int64_t left = 0;
  };
  // By name; only those with something to tell.
  std::vector<Method> methods{};
  // Streams that ended by themselves or were left by their callers, and streams that
  // were cut off. They are counted among `methods`, too.
  std::int64_t streams_ended = 0;
  std::int64_t streams_cut = 0;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_CALL_TALLY_H_
