#include "service/orders/config.h"

#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "gtest/gtest.h"

ABSL_DECLARE_FLAG(std::string, database);
ABSL_DECLARE_FLAG(int, database_connections);
ABSL_DECLARE_FLAG(std::int64_t, keep_events);
ABSL_DECLARE_FLAG(std::string, inventory);
ABSL_DECLARE_FLAG(std::string, inventory_tls_ca);
ABSL_DECLARE_FLAG(std::string, inventory_tls_key);

namespace orders {
namespace {

class ConfigTest : public testing::Test {
 protected:
  static void ExpectRejected(const std::string& why) {
    EXPECT_EQ(ConfigFromFlags().status(), absl::InvalidArgumentError(why));
  }

 private:
  absl::FlagSaver defaults_;
};

TEST_F(ConfigTest, DefaultsAreValid) { EXPECT_EQ(ConfigFromFlags().status(), absl::OkStatus()); }

TEST_F(ConfigTest, ADatabaseIsNeeded) {
  absl::SetFlag(&FLAGS_database, "");
  ExpectRejected("--database must be a file or a URL, is empty");
}

TEST_F(ConfigTest, AnInventoryIsNeeded) {
  absl::SetFlag(&FLAGS_inventory, "");
  ExpectRejected("--inventory must be HOST:PORT, is empty");
}

TEST_F(ConfigTest, CountsHaveALeast) {
  absl::SetFlag(&FLAGS_keep_events, -1);
  ExpectRejected("--keep_events must be at least 0, is -1");
  absl::SetFlag(&FLAGS_keep_events, 0);
  absl::SetFlag(&FLAGS_database_connections, 0);
  ExpectRejected("--database_connections must be at least 1, is 0");
}

TEST_F(ConfigTest, AKeyForTheInventoryNeedsItsCa) {
  absl::SetFlag(&FLAGS_inventory_tls_key, "key.pem");
  ExpectRejected("--inventory_tls_certificate and --inventory_tls_key need --inventory_tls_ca");
  absl::SetFlag(&FLAGS_inventory_tls_ca, "ca.pem");
  EXPECT_EQ(ConfigFromFlags().status(), absl::OkStatus());
}

}  // namespace
}  // namespace orders
