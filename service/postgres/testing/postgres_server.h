#ifndef SERVICE_POSTGRES_TESTING_POSTGRES_SERVER_H_
#define SERVICE_POSTGRES_TESTING_POSTGRES_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/common/child_process.h"
#include "tests/common/reserved_port.h"
#include "tests/common/temp_dir.h"

namespace postgres {

// A real PostgreSQL server, with its data in a temporary directory and a port on loopback that it
// keeps.
//
// The problem: PostgreSQL refuses to run as root, which tests in a container do; so it then runs as
// an unprivileged user, or, where there is none to become, in a user namespace. And it is a family
// of processes: to freeze or to kill it means all of them.
//
// Threads and lifetime: those of ChildProcess. All of its processes end with the object, or, a
// moment later, with the test.
class PostgresServer {
 public:
  struct Options {
    // "fsync=on"; by default nothing is synced, since nothing of it survives the test.
    std::vector<std::string> settings = {};
    // Added to the environment of its processes, which may be those of another user.
    testkit::ChildProcess::Environment environment = {};
  };

  // Returns once it serves. Every error is a sentence with what is missing.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start(const Options& options);
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start() { return Start(Options()); }
  ~PostgresServer();

  // The password that every connection must give; no test may find it anywhere.
  static const char* Password() { return "s3cret-of-the-test"; }

  // The URL of a database of this server; it need not exist. `host_and_port`: another way to it.
  std::string Url(const std::string& database, const std::string& host_and_port = "") const;

  // Creates an empty database and returns its URL.
  absl::StatusOr<std::string> CreateDatabase();

  // "127.0.0.1:40123"
  const std::string& address() const { return port_.address(); }

  // Shuts it down ("fast": sessions are ended, nothing is lost) and waits for the end.
  void Stop();
  // SIGKILL to all of its processes, as when its machine dies.
  void Kill();
  // After Stop() or Kill(), on the same data and port. Returns once it serves.
  absl::Status StartAgain();

  // SIGSTOP and SIGCONT to all of its processes. They also go on when the test ends without Resume().
  void Pause();
  void Resume();

  // Those that its first process has made.
  std::vector<pid_t> Processes() const;

  // What it has logged since it was started last.
  std::string Log() const;

 private:
  class Waker;

  explicit PostgresServer(const Options& options);
  absl::Status MakeData();
  absl::Status Launch();
  std::vector<std::string> Command(const std::string& program,
                                   const std::vector<std::string>& arguments) const;
  void SignalAll(int signal);

  const Options options_;
  const testkit::TempDir directory_;
  const testkit::ReservedPort port_;
  std::string programs_;              // Where PostgreSQL's programs are.
  std::vector<std::string> as_user_;  // What runs them as an unprivileged user.
  std::unique_ptr<testkit::ChildProcess> process_;
  std::unique_ptr<Waker> waker_;  // While they are stopped.
  int databases_ = 0;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_TESTING_POSTGRES_SERVER_H_
