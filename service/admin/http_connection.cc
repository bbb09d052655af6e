#include "service/admin/http_connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace admin {
namespace {

// How long a peer has to close after its answer. What it has sent and nobody has read makes the
// kernel reset the connection, and the answer would be lost.
constexpr lifecycle::Clock::Duration kForEnd = std::chrono::seconds(1);

bool MayComeLater() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

HttpConnection::HttpConnection(int fd, std::int64_t id, const HttpLimits& limits, TimePoint now)
    : fd_(fd), id_(id), limits_(limits), deadline_(now + limits.for_request) {}

HttpConnection::~HttpConnection() { close(fd_); }

short HttpConnection::events() const {
  switch (state_) {
    case State::kReading:
    case State::kEnding:
      return POLLIN;
    case State::kWriting:
      return POLLOUT;
    default:
      return 0;  // Still tells when the peer has gone.
  }
}

void HttpConnection::OnReady(short revents, TimePoint now) {
  if (state_ == State::kReading && (revents & (POLLIN | POLLHUP)) != 0) {
    Read(now);
  } else if (state_ == State::kWriting && (revents & POLLOUT) != 0) {
    Write(now);
  } else if (state_ == State::kEnding && (revents & POLLIN) != 0) {
    ReadToTheEnd();
  } else if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
    state_ = State::kOver;
  }
}

void HttpConnection::Read(TimePoint now) {
  char bytes[4096];
  const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
  if (got <= 0) {
    if (got == 0 || !MayComeLater()) state_ = State::kOver;
    return;
  }
  received_.append(bytes, static_cast<std::size_t>(got));
  ParsedRequest parsed = ParseRequest(received_);
  if (parsed.refusal) {
    Answer(*parsed.refusal, now);
  } else if (parsed.request) {
    request_ = *std::move(parsed.request);
    state_ = State::kWanted;
  }
}

void HttpConnection::OnRendering(TimePoint now) {
  state_ = State::kRendering;
  deadline_ = now + limits_.for_page;
}

void HttpConnection::Answer(const HttpResponse& response, TimePoint now) {
  answer_ = Serialize(response, request_.head);
  state_ = State::kWriting;
  deadline_ = now + limits_.for_answer;
  Write(now);
}

void HttpConnection::Write(TimePoint now) {
  const ssize_t sent = send(fd_, answer_.data() + sent_, answer_.size() - sent_, MSG_NOSIGNAL);
  if (sent < 0) {
    if (!MayComeLater()) state_ = State::kOver;
    return;
  }
  sent_ += static_cast<std::size_t>(sent);
  if (sent_ < answer_.size()) return;
  shutdown(fd_, SHUT_WR);
  state_ = State::kEnding;
  deadline_ = now + kForEnd;
}

void HttpConnection::ReadToTheEnd() {
  char bytes[4096];
  const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
  if (got == 0 || (got < 0 && !MayComeLater())) state_ = State::kOver;
}

}  // namespace admin
