#ifndef SERVICE_RPC_OPEN_DESCRIPTORS_H_
#define SERVICE_RPC_OPEN_DESCRIPTORS_H_

#include <vector>

namespace rpc {

// The file descriptors that the process has open; some may be closed or opened meanwhile. Where
// /proc is not mounted, as in a bare chroot, each possible one is tried, which takes up to a tenth
// of a second.
std::vector<int> OpenDescriptors();

// Without /proc. For tests.
std::vector<int> TryEveryDescriptor();

}  // namespace rpc

#endif  // SERVICE_RPC_OPEN_DESCRIPTORS_H_
