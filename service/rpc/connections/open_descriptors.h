#ifndef SERVICE_RPC_CONNECTIONS_OPEN_DESCRIPTORS_H_
#define SERVICE_RPC_CONNECTIONS_OPEN_DESCRIPTORS_H_

#include <vector>

namespace rpc {

// The process's open file descriptors. Other threads may open and close some meanwhile. Where /proc
// is not mounted, as in a bare chroot, each possible descriptor is tried, which takes up to a tenth
// of a second.
std::vector<int> OpenDescriptors();

// The same without /proc. For tests.
std::vector<int> TryEveryDescriptor();

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_OPEN_DESCRIPTORS_H_
