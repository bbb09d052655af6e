#include "service/admin/testing/http_caller.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"

namespace admin {

HttpCaller::HttpCaller(const std::string& address) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port =
      htons(static_cast<std::uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
  inet_pton(AF_INET, address.substr(0, address.rfind(':')).c_str(), &name.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{.tv_sec = 30, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    close(fd);
    return;
  }
  fd_ = fd;
}

HttpCaller::~HttpCaller() {
  if (fd_ >= 0) close(fd_);
}

bool HttpCaller::Send(const std::string& bytes) {
  return fd_ >= 0 &&
         send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

HttpAnswer HttpCaller::AwaitAnswer() {
  std::string all;
  char bytes[4096];
  for (ssize_t got = 1; fd_ >= 0 && got > 0;) {
    got = recv(fd_, bytes, sizeof bytes, 0);
    if (got > 0) all.append(bytes, static_cast<std::size_t>(got));
  }
  const std::size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos) return {};
  HttpAnswer answer{.header = all.substr(0, end), .body = all.substr(end + 4)};
  static_cast<void>(absl::SimpleAtoi(all.substr(9, 3), &answer.status));
  return answer;
}

bool HttpCaller::ReadByte() {
  char byte = 0;
  return fd_ >= 0 && recv(fd_, &byte, 1, 0) == 1;
}

void HttpCaller::Reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(std::exchange(fd_, -1));
}

HttpAnswer Get(const std::string& address, const std::string& path) {
  HttpCaller caller(address);
  caller.Send("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n");
  return caller.AwaitAnswer();
}

}  // namespace admin
