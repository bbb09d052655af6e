#include "service/lifecycle/last_resort/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace lifecycle {

void OpenStandardStreams() {
  int fd = -1;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (0 <= fd && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

}  // namespace lifecycle
