#ifndef SERVICE_SQLITE_TURNSTILE_H_
#define SERVICE_SQLITE_TURNSTILE_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sqlite {

// A queue of processes for the right to write: whoever is next stands in the turnstile, and
// everybody else, including the present writer when it wants to write again, waits outside.
//
// The problem: SQLite's lock goes to whoever tries first after its release. That is nearly always a
// process that writes without a pause; others starve.
//
// Guarantees: it is a courtesy, not a lock. The system releases it when its holder dies, and a
// process that finds it occupied for too long proceeds without it.
//
// Threads: one at a time.
class Turnstile {
 public:
  // Uses the empty file `path`, and creates it if it does not exist. The file may be removed while
  // nobody uses it. PERMISSION_DENIED: it cannot be created.
  static absl::StatusOr<std::unique_ptr<Turnstile>> Open(const std::string& path);
  ~Turnstile();
  Turnstile(const Turnstile&) = delete;
  Turnstile& operator=(const Turnstile&) = delete;

  // Waits until it is free, at most until `give_up`. Returns whether it was entered.
  bool Enter(std::chrono::steady_clock::time_point give_up);

  // Requires: entered.
  void Leave();

 private:
  explicit Turnstile(int file) : file_(file) {}
  const int file_;
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_TURNSTILE_H_
