#include "client/service_config.h"

namespace client {

std::string ServiceConfig() {
  return
#include "client/service_config.inc"
      ;
}

}  // namespace client
