#include "client/renewed_channel.h"

#include <utility>

namespace client {

RenewedChannel::RenewedChannel(Source source, Make make)
    : source_(std::move(source)),
      make_(std::move(make)),
      credentials_(source_()),
      newest_(make_(credentials_)),
      current_(newest_) {}

std::shared_ptr<grpc::Channel> RenewedChannel::Latest() {
  const std::lock_guard lock(mutex_);
  if (auto latest = source_(); latest != credentials_) {
    credentials_ = std::move(latest);
    newest_ = make_(credentials_);
  }
  if (current_ != newest_ && (newest_->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY ||
                              current_->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY)) {
    current_ = newest_;
  }
  return current_;
}

}  // namespace client
