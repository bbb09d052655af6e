#include "tests/process/open_stream.h"

#include <utility>

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace process_test {

OpenStream::OpenStream(std::shared_ptr<grpc::Channel> channel, const std::string& method,
                       const std::string& request, std::chrono::seconds limit)
    : channel_(std::move(channel)), stub_(channel_) {
  context_.set_deadline(std::chrono::system_clock::now() + limit);
  context_.set_wait_for_ready(true);
  stream_ = stub_.PrepareCall(&context_, method, &queue_);
  stream_->StartCall(this);
  if (!Done()) return;
  const grpc::Slice slice(request);
  stream_->Write(grpc::ByteBuffer(&slice, 1), this);
  Done();
}

OpenStream::~OpenStream() {
  context_.TryCancel();
  Finish();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) continue;
}

std::optional<std::string> OpenStream::Read() {
  grpc::ByteBuffer message;
  stream_->Read(&message, this);
  if (!Done()) return std::nullopt;
  grpc::Slice slice;
  if (!message.DumpToSingleSlice(&slice).ok()) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

grpc::Status OpenStream::Finish() {
  if (status_) return *status_;
  while (Read()) continue;
  status_.emplace();
  stream_->Finish(&*status_, this);
  Done();
  return *status_;
}

bool OpenStream::Done() {
  void* tag = nullptr;
  bool ok = false;
  return queue_.Next(&tag, &ok) && ok;
}

}  // namespace process_test
