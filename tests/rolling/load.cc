#include "tests/rolling/load.h"

#include <condition_variable>
#include <mutex>

#include "client/orders/orders_client.h"

namespace rolling {

void Pause(std::chrono::milliseconds duration, const std::stop_token& stop) {
  if (duration.count() == 0) return;
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
}

orders::v1::PlaceOrderRequest OrderMaker::Next() {
  constexpr const char* kSkus[] = {"apple", "banana", "cherry", "fig", "pear"};
  orders::v1::PlaceOrderRequest request;
  request.set_request_id(client::NewRequestId());
  request.set_customer("rolling");
  orders::v1::OrderItem& item = *request.add_items();
  item.set_sku(kSkus[made_ % 5]);
  item.set_quantity(1 + made_ % 3);
  ++made_;
  return request;
}

}  // namespace rolling
