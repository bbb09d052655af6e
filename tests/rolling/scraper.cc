#include "tests/rolling/scraper.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "service/rpc/testing/callers.h"

namespace rolling {
namespace {

// Told to the end.
bool TellsItsMetrics(const std::string& address) {
  rpc::RawConnection connection(address);
  if (!connection.connected()) return false;
  connection.Send("GET /metrics HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n");
  return connection.ReceiveUntil("\ngrpc_server_call_started_total{") && connection.AwaitEnd();
}

}  // namespace

void Scrape(const std::vector<std::string>& addresses, Tally& tally, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    for (const std::string& address : addresses) {
      TellsItsMetrics(address) ? tally.Answered() : tally.Retried();
    }
    never.wait_for(lock, stop, std::chrono::seconds(1), [] { return false; });
  }
}

}  // namespace rolling
