// What the sanitizers must not report of a program that uses gRPC.

extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions();

// OpenSSL must not free anything when the process exits (bazel/openssl), so what it keeps
// for each of gRPC's threads is still there.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcrypto\n"; }

// gRPC's headers hand the memory of a call from thread to thread through the library, which is not
// instrumented, so the sanitizer sees no order in it.
//
// The price: a race of which one side runs in a callback of gRPC's is not seen
// either. Those between other threads are, and so are locks in the wrong order.

extern "C" const char* __tsan_default_suppressions() {
  return "race:grpc::internal::\n"
         "race:grpc::Server::CallbackRequest\n"
         "race:grpc::Server::SyncRequest\n"
         "race:grpc::ServerWriteReactor<grpc::ByteBuffer>\n"
         // A std::set of the library's own, whose code the linker takes from us.
         "race:grpc_core::channelz::ChannelNode\n"
         // Abseil's mutex is not instrumented either (service/rpc/testing/callers.cc).
         "race:KeepErrnoOfConnect\n"
         // Called by the library itself.
         "race:NewCallbackServerContext\n"
         "race:OnCancel\n"
         "race:OnDone\n";
}
