// The command line to the servers: `client help`.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <stop_token>
#include <thread>
#include <vector>

#include "client/cli.h"
#include "client/operator_commands.h"
#include "client/orders/orders_commands.h"  // example
#include "client/terminal.h"

namespace {

// The first Ctrl-C (or SIGTERM) requests a shutdown; the second ends the process as
// usual, in case the first is not heard.
std::stop_token StopOnInterrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::stop_source stop;
  std::thread([signals, stop]() mutable {
    int signal = 0;
    sigwait(&signals, &signal);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    stop.request_stop();
    while (true) pause();
  }).detach();
  return stop.get_token();
}

// What the program opens, a connection for one, must not become the standard stream that whoever
// started it has closed. Reads of such a stream end, and writes fail.
void KeepStandardStreamsTaken() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) static_cast<void>(open("/dev/null", O_RDONLY));
  }
}

}  // namespace

int main(int argc, char** argv) {
  KeepStandardStreamsTaken();
  // Whoever reads the output may leave; that is an error, and not the end.
  signal(SIGPIPE, SIG_IGN);
  // Under `bazel run`, a path means what it means in the shell that ran it, or ran bazelw.
  const char* directory = getenv("BAZELW_CALLED_FROM");
  if (directory == nullptr) directory = getenv("BUILD_WORKING_DIRECTORY");
  if (directory && chdir(directory)) {
    std::cerr << "client: cannot change to directory " << directory << ": " << std::strerror(errno)
              << "\n";
    return client::kUsage;
  }
  // What is wrong is said in our own words; gRPC's would only stand between them.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  std::vector<client::Command> commands;
  const auto add = [&commands](const std::vector<client::Command>& more) {
    commands.insert(commands.end(), more.begin(), more.end());
  };
  add(client::OrdersCommands());  // example
  add(client::OperatorCommands());
  return client::Run({argv + 1, argv + argc}, commands,
                     {.in = std::cin,
                      .out = std::cout,
                      .err = std::cerr,
                      .err_is_terminal = isatty(STDERR_FILENO) == 1,
                      .stop_on_interrupt = StopOnInterrupt});
}
