#include "service/sqlite/turnstile.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sqlite {

absl::StatusOr<std::unique_ptr<Turnstile>> Turnstile::Open(const std::string& path) {
  // For reading: that is enough to lock it, also for another user who shares it. Whatever
  // lies there instead of a file of ours is neither waited for nor followed.
  const int file =
      open(path.c_str(), O_RDONLY | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (file < 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot open ", path, ": ", std::strerror(errno),
                     "; give this user write permission for its directory"));
  }
  return std::unique_ptr<Turnstile>(new Turnstile(file));
}

Turnstile::~Turnstile() { close(file_); }

bool Turnstile::Enter(std::chrono::steady_clock::time_point give_up) {
  while (flock(file_, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void Turnstile::Leave() { flock(file_, LOCK_UN); }

}  // namespace sqlite
