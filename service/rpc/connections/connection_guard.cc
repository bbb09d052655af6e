#include "service/rpc/connections/connection_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "grpc/grpc.h"
#include "service/rpc/channelz/channelz_json.h"
#include "service/rpc/channelz/connections.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Between two looks, while nothing happens and while something does.
constexpr milliseconds kCalm(200);
constexpr milliseconds kAlert(50);
// How many calls may begin without ending well before the connections are checked.
constexpr std::int64_t kUnaccounted = 100;
// The time over which resets are counted.
constexpr seconds kWindow(1);

// An address of four or sixteen bytes and a port, as both sources of it are written.
std::string Peer(std::string address, std::uint16_t port) {
  // IPv4 in IPv6 (RFC 4291, 2.5.5.2): gRPC writes it as IPv4.
  const std::string mapped = std::string(10, '\0') + "\xff\xff";
  if (address.size() == 16 && address.compare(0, mapped.size(), mapped) == 0) {
    address.erase(0, mapped.size());
  }
  return address + static_cast<char>(port >> 8) + static_cast<char>(port & 0xff);
}

std::string Quoted(const std::string& json, const std::string& key) {
  const std::size_t name = json.find("\"" + key + "\":");
  if (name == std::string::npos) return "";
  const std::size_t begin = json.find('"', name + key.size() + 3);
  if (begin == std::string::npos) return "";
  return json.substr(begin + 1, json.find('"', begin + 1) - begin - 1);
}

ConnectionGuard::Connection Record(std::int64_t id) {
  ConnectionGuard::Connection connection;
  connection.id = id;
  const std::string json = TakeJson(grpc_channelz_get_socket(id));
  connection.started = NumberInJson(json, "streamsStarted");
  connection.failed = NumberInJson(json, "streamsFailed");
  connection.open = connection.started - connection.failed - NumberInJson(json, "streamsSucceeded");
  const std::size_t remote = json.find("\"remote\":");
  if (remote == std::string::npos) return connection;
  const std::string address = json.substr(remote, json.find("}}", remote) - remote);
  std::string bytes;
  // As gRPC 1.51 and as newer gRPC writes it, 1.83 for one.
  const std::string encoded = Quoted(address, "ip_address") + Quoted(address, "ipAddress");
  if (absl::Base64Unescape(encoded, &bytes) && !bytes.empty()) {
    connection.peer = Peer(bytes, static_cast<std::uint16_t>(NumberInJson(address, "port")));
  }
  return connection;
}

}  // namespace

ConnectionGuard::ConnectionGuard(std::int64_t server_id, Limits limits,
                                 std::function<void(const std::string& peer)> end,
                                 LimitLog::Write write, std::function<void()> tick)
    : server_id_(server_id),
      limits_(limits),
      end_(std::move(end)),
      tick_(std::move(tick)),
      log_("ended a connection", write),
      spared_("cannot end a connection", std::move(write)) {
  thread_ = std::thread([this] { Run(); });
}

void ConnectionGuard::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
  log_.End();
  spared_.End();
}

std::int64_t ConnectionGuard::ended() const { return log_.total(); }

std::vector<ConnectionGuard::Connection> ConnectionGuard::Records(std::int64_t server_id) {
  std::vector<Connection> connections;
  for (const std::int64_t id : Connections::IdsOf(server_id)) connections.push_back(Record(id));
  return connections;
}

std::string ConnectionGuard::PeerOf(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    return Peer(std::string(reinterpret_cast<const char*>(&v4.sin_addr), 4), ntohs(v4.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    return Peer(std::string(reinterpret_cast<const char*>(&v6.sin6_addr), 16), ntohs(v6.sin6_port));
  }
  return "";
}

std::string ConnectionGuard::PeerOf(const std::string& uri) {
  std::string host = absl::StrReplaceAll(uri, {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
  const std::size_t colon = host.rfind(':');
  std::uint32_t port = 0;
  if (colon < 5 || colon == std::string::npos || !absl::SimpleAtoi(host.substr(colon + 1), &port) ||
      port > 65535) {
    return "";
  }
  const bool is_v4 = host.starts_with("ipv4:");
  if (!is_v4 && !host.starts_with("ipv6:")) return "";
  host = host.substr(5, colon - 5);
  host = host.substr(0, host.find('%'));  // Without a zone.
  char address[sizeof(in6_addr)];
  if (inet_pton(is_v4 ? AF_INET : AF_INET6, host.c_str(), address) != 1) return "";
  return Peer(std::string(address, is_v4 ? sizeof(in_addr) : sizeof(in6_addr)),
              static_cast<std::uint16_t>(port));
}

void ConnectionGuard::Excuse(const std::string& peer) {
  std::string key = PeerOf(peer);
  if (key.empty()) return;  // It cannot be ended.
  std::lock_guard lock(mutex_);
  Excuses& excuses = excuses_[std::move(key)];
  ++excuses.calls;
  excuses.look = looks_;
}

std::int64_t ConnectionGuard::TakeExcuses(const std::string& peer, std::int64_t most) {
  std::lock_guard lock(mutex_);
  const auto found = excuses_.find(peer);
  if (found == excuses_.end()) return 0;
  found->second.look = looks_;
  const std::int64_t taken = std::min(most, found->second.calls);
  found->second.calls -= taken;
  return taken;
}

void ConnectionGuard::ForgetExcuses() {
  std::lock_guard lock(mutex_);
  // A connection may be younger than the records in which it was looked for.
  std::erase_if(excuses_, [this](const auto& each) { return each.second.look < looks_ - 1; });
}

void ConnectionGuard::Run() {
  std::int64_t looked_at = 0;
  Clock::duration pause = kCalm;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, pause, [this] { return over_; })) {
    lock.unlock();
    const Clock::time_point begun = Clock::now();
    const std::string server = TakeJson(grpc_channelz_get_server(server_id_));
    const std::int64_t unaccounted =
        NumberInJson(server, "callsStarted") - NumberInJson(server, "callsSucceeded");
    const bool look = unaccounted >= looked_at + kUnaccounted;
    if (look) LookAtConnections();
    // Less, when calls have ended: the next ones count from there.
    looked_at = look ? unaccounted : std::min(looked_at, unaccounted);
    log_.Flush();
    spared_.Flush();
    tick_();
    pause = std::max<Clock::duration>(look ? kAlert : kCalm, 10 * (Clock::now() - begun));
    lock.lock();
  }
}

void ConnectionGuard::LookAtConnections() {
  ++looks_;
  const std::vector<Connection> connections = Records(server_id_);
  const Clock::time_point now = Clock::now();
  std::int64_t open = 0;
  std::vector<const Connection*> others;
  for (const Connection& each : connections) {
    if (const char* const fault = Fault(each, now)) End(each, fault);
    if (bases_[each.id].ended) continue;
    open += each.open;
    others.push_back(&each);
  }
  if (limits_.total_streams > 0) EndTheLargest(std::move(others), open - limits_.total_streams);
  std::erase_if(bases_, [this](const auto& base) { return base.second.look != looks_; });
  ForgetExcuses();
}

void ConnectionGuard::EndTheLargest(std::vector<const Connection*> connections,
                                    std::int64_t too_many) {
  std::sort(connections.begin(), connections.end(),
            [](const Connection* one, const Connection* other) { return one->open > other->open; });
  std::int64_t endable = 0;
  for (const Connection* const each : connections) endable += each->peer.empty() ? 0 : each->open;
  const bool helps = endable >= too_many;
  for (const Connection* const each : connections) {
    if (too_many <= 0) return;
    if (!helps && !each->peer.empty()) continue;
    End(*each, "most streams of too many in total");
    if (!helps) return;
    if (!each->peer.empty()) too_many -= each->open;
  }
}

const char* ConnectionGuard::Fault(const Connection& connection, Clock::time_point now) {
  const auto [place, is_new] = bases_.try_emplace(connection.id);
  Base& base = place->second;
  base.look = looks_;
  if (base.ended) return nullptr;
  base.excused += TakeExcuses(connection.peer, connection.failed - base.seen);
  base.seen = connection.failed;
  const std::int64_t resets = connection.failed - base.excused;
  const auto begin_window = [&] {
    base.at = now;
    base.started = connection.started;
    base.failed = resets;
  };
  if (limits_.streams > 0 && connection.open > std::int64_t{2} * limits_.streams)
    return "too many open streams";
  // What it did before it was first seen may have taken any time.
  if (is_new) begin_window();
  const std::int64_t failed = resets - base.failed;
  const std::int64_t started = connection.started - base.started;
  const Clock::duration elapsed = std::max<Clock::duration>(now - base.at, kWindow);
  const std::int64_t bound =
      limits_.resets * std::chrono::duration_cast<milliseconds>(elapsed).count() / 1000;
  if (limits_.resets > 0 && failed >= bound && failed * 2 > started) return "too many resets";
  if (elapsed > kWindow) begin_window();
  return nullptr;
}

void ConnectionGuard::End(const Connection& connection, const char* fault) {
  Base& base = bases_[connection.id];
  const std::string what = absl::StrCat(fault, ", ", connection.open, " open, ", connection.failed,
                                        " failed of ", connection.started);
  if (connection.peer.empty()) {
    if (!std::exchange(base.spared, true)) {
      spared_.Count(absl::StrCat(what, "; it came through a socket file"));
    }
    return;
  }
  base.ended = true;
  end_(connection.peer);
  log_.Count(what);
}

}  // namespace rpc
