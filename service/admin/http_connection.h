#ifndef SERVICE_ADMIN_HTTP_CONNECTION_H_
#define SERVICE_ADMIN_HTTP_CONNECTION_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "service/admin/http_request.h"
#include "service/lifecycle/clock.h"

namespace admin {

// How long a peer may take, whatever it does meanwhile.
struct HttpLimits {
  int connections = 64;
  lifecycle::Clock::Duration for_request = std::chrono::seconds(5);  // To send all of it.
  lifecycle::Clock::Duration for_page = std::chrono::seconds(5);     // Ours, to make it.
  lifecycle::Clock::Duration for_answer = std::chrono::seconds(10);  // To take all of it.
};

// One request and its answer on a non-blocking socket, which never waits:
//
//   kReading -> kWanted -> kRendering -> kWriting -> kEnding -> kOver
//
// Threads: one. Owns the socket.
class HttpConnection {
 public:
  using TimePoint = lifecycle::Clock::TimePoint;
  enum class State { kReading, kWanted, kRendering, kWriting, kEnding, kOver };

  HttpConnection(int fd, std::int64_t id, const HttpLimits& limits, TimePoint now);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  std::int64_t id() const { return id_; }
  int fd() const { return fd_; }
  State state() const { return state_; }
  TimePoint deadline() const { return deadline_; }
  // What to poll for.
  short events() const;

  // From kWanted on.
  const HttpRequest& request() const { return request_; }

  // Does what the socket allows now. `revents`: what poll() said.
  void OnReady(short revents, TimePoint now);

  // The page is being made.
  void OnRendering(TimePoint now);

  void Answer(const HttpResponse& response, TimePoint now);

 private:
  void Read(TimePoint now);
  void Write(TimePoint now);
  void ReadToTheEnd();

  const int fd_;
  const std::int64_t id_;
  const HttpLimits limits_;
  State state_ = State::kReading;
  TimePoint deadline_;
  std::string received_;
  HttpRequest request_;
  std::string answer_;
  std::size_t sent_ = 0;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_HTTP_CONNECTION_H_
