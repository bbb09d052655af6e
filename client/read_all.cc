#include "client/read_all.h"

#include <cerrno>
#include <sstream>

namespace client {

int ReadAll(std::istream& in, std::string& text) {
  std::stringstream read;
  errno = 0;
  read << in.rdbuf();  // Fails as well where there is nothing.
  const int error = read.fail() ? errno : 0;
  text = read.str();
  return error;
}

}  // namespace client
