#include "service/postgres/testing/postgres_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"

namespace postgres {
namespace {

bool Runs(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/status"));
  const std::string status{std::istreambuf_iterator<char>(file), {}};
  return !status.empty() && status.find("State:\tZ") == std::string::npos;
}

// Writes the numbers of the server's processes once they are stopped, and stays.
[[noreturn]] void PauseAServer(int numbers) {
  const auto server = PostgresServer::Start();
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    _exit(1);
  }
  (*server)->Pause();
  std::string line;
  for (const pid_t each : (*server)->Processes()) absl::StrAppend(&line, each, " ");
  line += "\n";
  if (write(numbers, line.data(), line.size()) < 0) _exit(1);
  for (;;) pause();
}

TEST(PostgresServerTest, OfATestThatIsKilledNoProcessStaysStopped) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const pid_t test = fork();
  if (test == 0) PauseAServer(ends[1]);
  close(ends[1]);
  std::string line;
  std::getline(std::ifstream(absl::StrCat("/proc/self/fd/", ends[0])), line);
  close(ends[0]);
  std::vector<pid_t> processes;
  std::istringstream numbers(line);
  for (pid_t each = 0; numbers >> each;) processes.push_back(each);
  ASSERT_FALSE(processes.empty());
  // Nobody else removes it.
  const auto data =
      std::filesystem::read_symlink(absl::StrCat("/proc/", processes.front(), "/cwd"));

  kill(test, SIGKILL);
  waitpid(test, nullptr, 0);
  for (const pid_t each : processes) {
    EXPECT_TRUE(testkit::Eventually([each] { return !Runs(each); })) << each;
  }
  std::filesystem::remove_all(data.parent_path());
}

}  // namespace
}  // namespace postgres
