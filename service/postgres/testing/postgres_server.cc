#include "service/postgres/testing/postgres_server.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace postgres {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken machine takes to fail.
constexpr milliseconds kLimit{60'000};
constexpr char kNobody[] = "65534";

bool Succeeds(const std::vector<std::string>& command) {
  return ChildProcess(command).Wait(kLimit) == Ending::Exited(0);
}

// The newest version's directory; Debian installs several beside each other.
std::string FindPrograms() {
  std::string found;
  int newest = 0;
  std::error_code ignored;
  for (const fs::directory_entry& version :
       fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const fs::path programs = version.path() / "bin";
    const int number = std::atoi(version.path().filename().c_str());
    if (number > newest && fs::exists(programs / "postgres", ignored)) {
      newest = number;
      found = programs.string();
    }
  }
  return found;
}

// The children of a process, and theirs.
void AddFamily(pid_t process, std::set<pid_t>& family) {
  if (!family.insert(process).second) return;
  std::ifstream children(absl::StrCat("/proc/", process, "/task/", process, "/children"));
  for (pid_t child = 0; children >> child;) AddFamily(child, family);
}

}  // namespace

// A process that lets others go on once this one has ended, however that was: a stopped one does not
// notice the end of those that it belongs to.
class PostgresServer::Waker {
 public:
  // Returns once it waits.
  explicit Waker(const std::vector<pid_t>& stopped) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      std::perror("pipe2");
      std::abort();
    }
    still_here_ = ends[1];
    // It outlives its parent.
    std::vector<std::string> command = {"/usr/bin/setpriv",
                                        "--pdeathsig=clear",
                                        "/bin/sh",
                                        "-c",
                                        "echo waiting; read -r nothing <&3; kill -CONT \"$@\"",
                                        "waker"};
    for (const pid_t each : stopped) command.push_back(absl::StrCat(each));
    process_.emplace(std::move(command), ChildProcess::Environment(), std::vector<int>{ends[0]});
    close(ends[0]);
    process_->AwaitOutput("waiting", kLimit);
  }
  ~Waker() {
    process_.reset();
    close(still_here_);
  }
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

 private:
  int still_here_ = -1;  // Closed when this process ends.
  std::optional<ChildProcess> process_;
};

PostgresServer::PostgresServer(const Options& options)
    // Where an unprivileged user comes to: the test's own directory may lie below root's.
    : options_(options), directory_("/tmp") {}

PostgresServer::~PostgresServer() {
  if (process_ != nullptr) Kill();
}

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start(const Options& options) {
  std::unique_ptr<PostgresServer> server(new PostgresServer(options));
  absl::Status status = server->MakeData();
  if (status.ok()) status = server->Launch();
  if (!status.ok()) return status;
  return server;
}

absl::Status PostgresServer::MakeData() {
  programs_ = FindPrograms();
  if (programs_.empty()) {
    return absl::NotFoundError(
        "there is no PostgreSQL server in /usr/lib/postgresql: apt-get install postgresql");
  }
  if (geteuid() == 0) {
    const std::vector<std::string> become = {"/usr/bin/setpriv", absl::StrCat("--reuid=", kNobody),
                                             absl::StrCat("--regid=", kNobody), "--clear-groups",
                                             "--pdeathsig=KILL"};
    // In a user namespace with nobody else in it, root can only pretend to be another.
    const std::vector<std::string> pretend = {"/usr/bin/unshare",
                                              "--user",
                                              absl::StrCat("--map-user=", kNobody),
                                              absl::StrCat("--map-group=", kNobody),
                                              "/usr/bin/setpriv",
                                              "--pdeathsig=KILL"};
    for (const std::vector<std::string>& way : {become, pretend}) {
      as_user_ = way;
      if (Succeeds(Command("/bin/true", {}))) break;
      as_user_.clear();
    }
    if (as_user_.empty()) {
      return absl::FailedPreconditionError(
          "PostgreSQL does not run as root, and root may neither become another user here nor make "
          "a user namespace: run the test as an ordinary user");
    }
    if (as_user_ == become && chown(directory_.path().c_str(), 65534, 65534) != 0) {
      return absl::InternalError(absl::StrCat("cannot give away ", directory_.path()));
    }
  }
  const std::string password_file = directory_.File("password");
  std::ofstream(password_file) << Password() << "\n";
  chmod(password_file.c_str(), 0644);
  ChildProcess initdb(Command(
      programs_ + "/initdb",
      {"--pgdata=" + directory_.File("data"), "--username=tester", "--encoding=UTF8", "--locale=C",
       "--auth=scram-sha-256", "--pwfile=" + password_file, "--no-sync", "--wal-segsize=1"}));
  if (initdb.Wait(kLimit) != Ending::Exited(0)) {
    return absl::InternalError("initdb failed: " + initdb.Output());
  }
  return absl::OkStatus();
}

absl::Status PostgresServer::Launch() {
  const std::vector<std::string> parts = absl::StrSplit(port_.address(), ':');
  std::vector<std::string> arguments = {"-D", directory_.File("data"), "-p", parts[1]};
  // It may use what two tests side by side can spare.
  for (const std::string& setting :
       {std::string("listen_addresses=127.0.0.1"), "unix_socket_directories=" + directory_.path(),
        std::string("fsync=off"), std::string("full_page_writes=off"),
        std::string("shared_buffers=16MB"), std::string("max_connections=100"),
        std::string("dynamic_shared_memory_type=mmap"), std::string("log_min_messages=warning"),
        std::string("autovacuum=off")}) {
    arguments.insert(arguments.end(), {"-c", setting});
  }
  for (const std::string& setting : options_.settings) {
    arguments.insert(arguments.end(), {"-c", setting});
  }
  const auto end = steady_clock::now() + kLimit;
  // Once more when the processes of one that was killed have not all ended yet.
  while (steady_clock::now() < end) {
    process_ = std::make_unique<ChildProcess>(Command(programs_ + "/postgres", arguments),
                                              options_.environment);
    while (process_->Wait(milliseconds(5)) == Ending()) {
      const PGPing answer = PQping(Url("postgres").c_str());
      if (answer == PQPING_OK) return absl::OkStatus();
      if (steady_clock::now() >= end) break;
    }
    if (process_->Output().find("is still in use") == std::string::npos) break;
    std::this_thread::sleep_for(milliseconds(20));
  }
  return absl::InternalError("PostgreSQL did not start: " + process_->Output());
}

std::vector<std::string> PostgresServer::Command(const std::string& program,
                                                 const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = as_user_;
  command.push_back(program);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string PostgresServer::Url(const std::string& database,
                                const std::string& host_and_port) const {
  return absl::StrCat("postgresql://tester:", Password(), "@",
                      host_and_port.empty() ? port_.address() : host_and_port, "/", database);
}

absl::StatusOr<std::string> PostgresServer::CreateDatabase() {
  const std::string name = absl::StrCat("test", ++databases_);
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(
      PQconnectdb(Url("postgres").c_str()), &PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> created(
      PQexec(connection.get(),
             absl::StrCat("CREATE DATABASE ", name, " TEMPLATE template0").c_str()),
      &PQclear);
  if (PQresultStatus(created.get()) != PGRES_COMMAND_OK) {
    return absl::InternalError(PQerrorMessage(connection.get()));
  }
  return Url(name);
}

void PostgresServer::Stop() {
  process_->Signal(SIGINT);
  process_->Wait(kLimit);
}

void PostgresServer::Kill() {
  SignalAll(SIGKILL);
  process_->Wait(kLimit);
}

absl::Status PostgresServer::StartAgain() { return Launch(); }

void PostgresServer::Pause() { SignalAll(SIGSTOP); }

void PostgresServer::Resume() { SignalAll(SIGCONT); }

std::string PostgresServer::Log() const { return process_->Output(); }

std::vector<pid_t> PostgresServer::Processes() const {
  std::set<pid_t> family;
  AddFamily(process_->pid(), family);
  family.erase(process_->pid());
  return {family.begin(), family.end()};
}

// The first process last when they go on, and first when they do not: it would replace its
// children.
void PostgresServer::SignalAll(int signal) {
  const bool go_on = signal == SIGCONT;
  if (process_->Wait(milliseconds(0)) != Ending()) return;
  std::vector<pid_t> children = Processes();
  if (signal == SIGKILL) process_->Signal(SIGSTOP);
  if (!go_on && signal != SIGKILL) process_->Signal(signal);
  // It has no more of them now than were there before, or than it was just making.
  if (!go_on) children = Processes();
  if (signal == SIGSTOP) waker_ = std::make_unique<Waker>(children);
  for (const pid_t child : children) kill(child, signal);
  if (go_on || signal == SIGKILL) process_->Signal(signal);
  if (signal != SIGSTOP) waker_ = nullptr;
}

}  // namespace postgres
