#ifndef SERVICE_ADMIN_BUILD_INFO_H_
#define SERVICE_ADMIN_BUILD_INFO_H_

#include <string>

namespace admin {

// What runs here: "build 4f2a9c01d3e8, optimized, gRPC 1.51.1". The first is the beginning of the
// linker's build id, which `readelf -n` shows of a binary.
std::string BuildInfo();

}  // namespace admin

#endif  // SERVICE_ADMIN_BUILD_INFO_H_
