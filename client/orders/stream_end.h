#ifndef CLIENT_ORDERS_STREAM_END_H_
#define CLIENT_ORDERS_STREAM_END_H_

#include <string>

#include "absl/status/status.h"

namespace client {

// How a stream ended that does not end by itself.
struct StreamEnd {
  // OK: a stop was requested.
  absl::Status status;
  // Where a watch would go on; empty when the server was never reached.
  std::string resume_token;
};

}  // namespace client

#endif  // CLIENT_ORDERS_STREAM_END_H_
