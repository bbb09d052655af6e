#include "client/orders/inventory_client.h"

#include <utility>

namespace client {

using inventory::v1::InventoryService;

absl::StatusOr<std::unique_ptr<InventoryClient>> InventoryClient::Create(const std::string& target,
                                                                         ClientOptions options) {
  auto connection =
      Connection::Create(target, std::move(options), Connection::WithoutServer::kWait);
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<InventoryClient>(new InventoryClient(*std::move(connection)));
}

InventoryClient::InventoryClient(Connection connection) : connection_(std::move(connection)) {}

absl::StatusOr<std::vector<inventory::v1::Stock>> InventoryClient::GetStock(
    const std::vector<std::string>& skus) {
  inventory::v1::GetStockRequest request;
  for (const std::string& sku : skus) request.add_skus(sku);
  const auto response =
      connection_.Call<InventoryService>(&InventoryService::StubInterface::GetStock, request);
  if (!response.ok()) return response.status();
  return std::vector<inventory::v1::Stock>(response->stock().begin(), response->stock().end());
}

}  // namespace client
