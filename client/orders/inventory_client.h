#ifndef CLIENT_ORDERS_INVENTORY_CLIENT_H_
#define CLIENT_ORDERS_INVENTORY_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/connection.h"
#include "inventory/v1/inventory.grpc.pb.h"

namespace client {

// Calls inventory.v1.InventoryService (proto/inventory/v1/inventory.proto), as far as a person
// wants to see it.
//
// Threads: all methods may be called from any thread; each blocks until it has an answer.
class InventoryClient {
 public:
  // See Connection::Create().
  static absl::StatusOr<std::unique_ptr<InventoryClient>> Create(const std::string& target,
                                                                 ClientOptions options = {});

  // The stock of each SKU, ordered by SKU; of all SKUs if `skus` is empty.
  absl::StatusOr<std::vector<inventory::v1::Stock>> GetStock(const std::vector<std::string>& skus);

 private:
  explicit InventoryClient(Connection connection);

  const Connection connection_;
};

}  // namespace client

#endif  // CLIENT_ORDERS_INVENTORY_CLIENT_H_
