#include "service/config/plaintext_address.h"

#include <string>

#include "gtest/gtest.h"

namespace config {
namespace {

std::string Said(const std::string& addresses) {
  return std::string(CheckPlaintextAddresses("x", addresses, "stop it", ", --y").message());
}

TEST(PlaintextAddress, MayBeOfThisMachineOnly) {
  for (const char* address : {"", "127.0.0.1:0", "127.255.255.255:1", "[::1]:0", "localhost:50060",
                              "unix:/run/admin.sock", "unix:a,127.0.0.1:0", "127.0.0.1:0,"}) {
    EXPECT_EQ(Said(address), "") << address;
  }
}

TEST(PlaintextAddress, SaysWhatCanHappenAndWhatToDo) {
  EXPECT_EQ(Said("0.0.0.0:50060"),
            "--x=0.0.0.0:50060 can be reached from other machines, and whoever reaches it can stop "
            "it: use 127.0.0.1, --y, or --admin_allow_plaintext if the network keeps others away");
}

TEST(PlaintextAddress, IsRefusedWhereverOthersMayBe) {
  for (const std::string address :
       {"[::]:0", "128.0.0.1:0", "127.1:0", "127.example.com:0", "localhost.example.com:0",
        "[::ffff:127.0.0.1]:0", ":0", "10.0.0.1:0"}) {
    EXPECT_EQ(Said(address).rfind("--x=" + address + " can be reached", 0), 0U) << address;
    EXPECT_EQ(Said("127.0.0.1:0," + address), Said(address));
  }
}

TEST(PlaintextAddress, OfASocketThatIsPassedNobodyKnows) {
  EXPECT_EQ(Said("fd:admin").rfind("--x=fd:admin may be reached from", 0), 0U);
}

}  // namespace
}  // namespace config
