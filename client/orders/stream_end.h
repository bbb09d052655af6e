#ifndef CLIENT_ORDERS_STREAM_END_H_
#define CLIENT_ORDERS_STREAM_END_H_

#include <string>

#include "absl/status/status.h"

namespace client {

// How a stream that never ends by itself ended.
struct StreamEnd {
  // OK: a stop was requested.
  absl::Status status;
  // Where a watch would resume; empty if the server was never reached.
  std::string resume_token;
};

}  // namespace client

#endif  // CLIENT_ORDERS_STREAM_END_H_
