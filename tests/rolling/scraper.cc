#include "tests/rolling/scraper.h"

#include <chrono>

#include "service/rpc/testing/callers.h"
#include "tests/rolling/load.h"

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

void Scrape(const std::string& address, Tally& tally, const std::stop_token& stop) {
  for (; !stop.stop_requested(); Pause(std::chrono::seconds(1), stop)) {
    TellsItsMetrics(address) ? tally.Answered() : tally.Retried();
  }
}

}  // namespace rolling
