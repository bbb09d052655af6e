#include "client/output.h"

#include <cerrno>
#include <cstring>

namespace client {

bool Output::Print(std::string_view text) {
  if (failed()) return false;
  errno = 0;
  out_ << text << std::flush;
  if (out_) return true;
  why_ = errno != 0 ? std::strerror(errno) : "the output takes no more";
  return false;
}

}  // namespace client
