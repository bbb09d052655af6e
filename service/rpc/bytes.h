#ifndef SERVICE_RPC_BYTES_H_
#define SERVICE_RPC_BYTES_H_

#include <string>
#include <vector>

#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace rpc {

// A message as raw methods take it. Copies share the bytes: what goes to many callers is
// serialised once.
inline grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message) {
  const grpc::Slice bytes(message.SerializeAsString());
  return grpc::ByteBuffer(&bytes, 1);
}

// False: it is none of the message's type.
inline bool FromBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok()) return false;
  std::string all;
  for (const grpc::Slice& slice : slices) {
    all.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return message.ParseFromString(all);
}

}  // namespace rpc

#endif  // SERVICE_RPC_BYTES_H_
