#ifndef SERVICE_SQLITE_TURNSTILE_H_
#define SERVICE_SQLITE_TURNSTILE_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sqlite {

// Where processes queue for the right to write: who waits for it stands in the
// turnstile, and whoever comes next, the present writer included, waits outside.
//
// The problem: SQLite's lock goes to whoever looks first after its release. That is
// nearly always a process that writes without a pause; others wait for long.
//
// Guarantees: a courtesy and no lock: it is given up by the system when its holder
// dies, and who finds it occupied for too long goes on without it.
//
// Threads: one at a time.
class Turnstile {
 public:
  // Uses the empty file `path`, and makes it when there is none. It may be removed
  // when nobody uses it. PERMISSION_DENIED: it cannot be made.
  static absl::StatusOr<std::unique_ptr<Turnstile>> Open(const std::string& path);
  ~Turnstile();
  Turnstile(const Turnstile&) = delete;
  Turnstile& operator=(const Turnstile&) = delete;

  // Waits until it is free, until `give_up` at the latest. Whether it was entered.
  bool Enter(std::chrono::steady_clock::time_point give_up);

  // Requires: entered.
  void Leave();

 private:
  explicit Turnstile(int file) : file_(file) {}
  const int file_;
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_TURNSTILE_H_
