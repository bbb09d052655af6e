// OpenSSL frees what it has when the process exits, unless whoever uses it first asks it not to
// (OPENSSL_init_crypto(3)). Threads that nobody can end, gRPC's and those that connect to a database,
// may be in a handshake then: they would crash, after main has returned 0. So it is asked before main.
#include <openssl/crypto.h>

namespace {

#ifdef OPENSSL_INIT_NO_ATEXIT
[[maybe_unused]] const int asked = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
#endif

}  // namespace
