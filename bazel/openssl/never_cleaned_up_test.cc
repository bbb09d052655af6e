#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace {

// Runs after whatever OpenSSL has the process do at its exit: exit() goes backwards. A library that
// has been cleaned up cannot be used again.
void UseOpenSslAgain() { _exit(OPENSSL_init_crypto(0, nullptr) == 1 ? 0 : 1); }

[[noreturn]] void UseOpenSslAndExit() {
  if (std::atexit(UseOpenSslAgain) != 0) _exit(2);
  if (SSL_CTX_new(TLS_method()) == nullptr) _exit(3);
  std::exit(4);
}

// In a process of its own, in which no test has used OpenSSL.
TEST(OpenSslDeathTest, IsUsableAfterTheExitHasBegun) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(UseOpenSslAndExit(), testing::ExitedWithCode(0), "");
}

}  // namespace
