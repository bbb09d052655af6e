#ifndef TESTS_COMMON_SLOW_LINK_H_
#define TESTS_COMMON_SLOW_LINK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <thread>

namespace testkit {

// A slow or long link to a server: a TCP proxy on 127.0.0.1 that limits the bytes per second and
// delays each of them.
//
// The problem: on loopback, what a server writes reaches its caller before the server can close, so
// a cut by the shutdown is never visible. Here, what the link has not passed on stays in the
// server's send buffer, as on a real link.
//
// A connection that is reset on one side is reset on the other, once everything before the reset
// has been passed on. A connection that the server does not accept is reset.
//
// Threads: all methods may be called from any thread. It has its own thread, which ends with the
// object, as do all its connections.
class SlowLink {
 public:
  static constexpr std::int64_t kUnlimited = INT64_MAX;

  struct Options {
    // For each connection and direction.
    std::int64_t bytes_per_second = kUnlimited;
    // Half of the round trip.
    std::chrono::milliseconds delay{0};
    // SO_RCVBUF in bytes of the sockets to the server and to the caller; 0: the system's default.
    int receive_buffer = 0;
  };

  // `server`: "127.0.0.1:PORT".
  SlowLink(std::string server, const Options& options);
  ~SlowLink();
  SlowLink(const SlowLink&) = delete;
  SlowLink& operator=(const SlowLink&) = delete;

  // "127.0.0.1:40123".
  const std::string& address() const { return address_; }

  // 0: nothing passes until it is set again.
  void SetRate(std::int64_t bytes_per_second) { up_rate_ = down_rate_ = bytes_per_second; }
  // From servers to callers only.
  void SetDownRate(std::int64_t bytes_per_second) { down_rate_ = bytes_per_second; }

  // Resets the connections that there are.
  void Cut() { ++cuts_; }

  // Bytes read from callers and from servers so far.
  std::int64_t sent_up() const { return sent_up_; }
  std::int64_t sent_down() const { return sent_down_; }

  // Connections that the server has reset so far.
  int resets() const { return resets_; }

 private:
  class Connection;

  void Run();
  void Accept(std::list<Connection>& connections);

  const std::string server_;
  const std::chrono::milliseconds delay_;
  const int receive_buffer_;
  const int listener_;
  const int stop_;  // An eventfd.
  std::string address_;
  std::atomic<std::int64_t> up_rate_;
  std::atomic<std::int64_t> down_rate_;
  std::atomic<int> cuts_{0};
  std::atomic<std::int64_t> sent_up_{0};
  std::atomic<std::int64_t> sent_down_{0};
  std::atomic<int> resets_{0};
  std::thread thread_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_SLOW_LINK_H_
