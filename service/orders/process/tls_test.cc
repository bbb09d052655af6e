// Mutual TLS everywhere, with certificates of the development CA: the client calls orders, orders
// calls the inventory, and each may call only what the policies say.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/process/servers_under_test.h"
#include "tests/common/child_process.h"
#include "tests/common/reserved_port.h"
#include "tests/common/runfiles.h"

namespace orders {
namespace {

using testing::HasSubstr;
using testing::Not;
using testkit::ChildProcess;
using testkit::Ending;

class OrdersTlsTest : public ServersUnderTest {
 protected:
  void SetUp() override { MakeCertificates(); }

  // Replaces those that there are, the CA too.
  void MakeCertificates() {
    ChildProcess made({testkit::RunfileOrDie("deploy/tls/development_ca.sh"), Certificate("")});
    ASSERT_EQ(made.Wait(kLimit), Ending::Exited(0)) << made.Output();
  }

  std::string Certificate(const std::string& name) const {
    return directory_.File("certificates") + "/" + name;
  }

  std::vector<std::string> ServerFlags(const std::string& policy) const {
    const std::string file = directory_.File("policy" + std::to_string(policy.size()));
    std::ofstream(file) << policy;
    return {"--tls_certificate=" + Certificate("server.pem"),
            "--tls_key=" + Certificate("server.key"), "--tls_client_ca=" + Certificate("ca.pem"),
            "--authorization_policy=" + file};
  }

  // What a caller needs, a flag each: --PREFIXca, ...
  std::vector<std::string> CallerFlags(const std::string& prefix) const {
    return {"--" + prefix + "ca=" + Certificate("ca.pem"),
            "--" + prefix + "certificate=" + Certificate("client.pem"),
            "--" + prefix + "key=" + Certificate("client.key")};
  }

  // Runs the client, which must exit with `code`, and returns what it says.
  std::string Client(std::vector<std::string> words, const std::vector<std::string>& flags,
                     int code) const {
    words.insert(words.begin(), testkit::RunfileOrDie("client/client"));
    words.push_back("--address=" + orders_->address());
    words.push_back("--timeout=40s");
    ChildProcess client(With(words, flags));
    EXPECT_EQ(client.Wait(2 * kLimit), Ending::Exited(code)) << client.Output();
    return client.Output();
  }
};

TEST_F(OrdersTlsTest, EachMayCallWhatItsPolicyAllows) {
  ASSERT_NO_FATAL_FAILURE(StartInventory(
      ServerFlags("/inventory.v1.InventoryService/* uri:spiffe://development/client\n")));
  ASSERT_NO_FATAL_FAILURE(
      StartOrders(inventory_->address(),
                  With(ServerFlags("/orders.v1.OrdersService/PlaceOrder authenticated\n"
                                   "/orders.v1.OrdersService/ListOrders dns:support.example\n"),
                       CallerFlags("inventory_tls_"))));
  Client({"place", "--customer=ann", "apple=2"}, CallerFlags("tls-"), 0);
  EXPECT_THAT(Client({"list"}, CallerFlags("tls-"), 2), HasSubstr("not allowed"));
  // Without a certificate there is no connection.
  Client({"place", "--customer=ann", "apple=2"},
         {"--tls-ca=" + Certificate("ca.pem"), "--timeout=1s"}, 3);
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
}

TEST_F(OrdersTlsTest, AWatchOutlivesItsCertificates) {
  const testkit::ReservedPort port;
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  const std::vector<std::string> flags = ServerFlags("/orders.v1.OrdersService/* authenticated\n");
  const auto restart = [&] {
    if (orders_ != nullptr) {
      ASSERT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
    }
    StartOrders(inventory_->address(), flags, {}, port.address());
  };
  // The caller's own files, which are renewed later than the server's.
  const std::string own = directory_.File("own");
  const auto renew = [&](const std::string& name) {
    std::filesystem::create_directory(own);
    std::filesystem::copy_file(Certificate(name), own + "/" + name,
                               std::filesystem::copy_options::overwrite_existing);
  };
  for (const char* const name : {"ca.pem", "client.pem", "client.key"}) renew(name);
  ASSERT_NO_FATAL_FAILURE(restart());
  ChildProcess watch({testkit::RunfileOrDie("client/client"), "watch", "--from=start",
                      "--address=" + port.address(), "--tls-ca=" + own + "/ca.pem",
                      "--tls-certificate=" + own + "/client.pem",
                      "--tls-key=" + own + "/client.key"});
  Client({"place", "--customer=first", "apple=2"}, CallerFlags("tls-"), 0);
  ASSERT_TRUE(watch.AwaitOutput("first", kLimit)) << watch.Output();

  // Half of the caller's renewal: the last good files are used.
  std::ofstream(own + "/client.key") << "-----BEGIN PRIVATE KEY-----\n";
  ASSERT_NO_FATAL_FAILURE(restart());
  Client({"place", "--customer=second", "apple=2"}, CallerFlags("tls-"), 0);
  ASSERT_TRUE(watch.AwaitOutput("second", kLimit)) << watch.Output();

  // Another CA. The server refuses the watch until that has the new files, too.
  ASSERT_NO_FATAL_FAILURE(MakeCertificates());
  ASSERT_NO_FATAL_FAILURE(restart());
  ASSERT_TRUE(watch.AwaitOutput("client.key contains a private key that is cut off", kLimit));
  Client({"place", "--customer=third", "apple=2"}, CallerFlags("tls-"), 0);
  EXPECT_THAT(watch.Output(), Not(HasSubstr("third")));
  for (const char* const name : {"client.key", "ca.pem", "client.pem"}) renew(name);
  ASSERT_TRUE(watch.AwaitOutput("third", kLimit)) << watch.Output();
  watch.Signal(SIGINT);
  EXPECT_EQ(watch.Wait(kLimit), Ending::Exited(0)) << watch.Output();
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
}

}  // namespace
}  // namespace orders
