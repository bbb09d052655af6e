#include "service/orders/testing/fake_inventory.h"

#include <chrono>
#include <cstdlib>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "tests/common/eventually.h"

namespace orders {

class FakeInventory::Service final : public inventory::v1::InventoryService::Service {
 public:
  explicit Service(FakeInventory& fake) : fake_(fake) {}

  grpc::Status Reserve(grpc::ServerContext* context, const inventory::v1::ReserveRequest* request,
                       inventory::v1::ReserveResponse*) override {
    std::unique_lock lock(fake_.mutex_);
    fake_.reserves_.push_back(*request);
    fake_.StandStill(lock, *context);
    const grpc::Status refusal = fake_.Refusal();
    return refusal.ok() ? fake_.reserve_answer_ : refusal;
  }

  grpc::Status Confirm(grpc::ServerContext* context, const inventory::v1::ConfirmRequest* request,
                       inventory::v1::ConfirmResponse*) override {
    std::unique_lock lock(fake_.mutex_);
    fake_.confirms_.push_back(request->reservation_id());
    if (fake_.confirms_.size() > fake_.free_confirms_) fake_.StandStill(lock, *context);
    const grpc::Status refusal = fake_.Refusal();
    if (!refusal.ok()) return refusal;
    const auto own = fake_.confirm_answers_.find(request->reservation_id());
    return own == fake_.confirm_answers_.end() ? fake_.confirm_answer_ : own->second;
  }

  grpc::Status Release(grpc::ServerContext*, const inventory::v1::ReleaseRequest* request,
                       inventory::v1::ReleaseResponse*) override {
    std::lock_guard lock(fake_.mutex_);
    fake_.releases_.push_back(request->reservation_id());
    if (request->even_confirmed()) {
      fake_.releases_even_if_confirmed_.push_back(request->reservation_id());
    }
    fake_.changed_.notify_all();
    return fake_.Refusal();
  }

 private:
  FakeInventory& fake_;
};

FakeInventory::FakeInventory() : service_(std::make_unique<Service>(*this)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::abort();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeInventory::~FakeInventory() { Stop(); }

void FakeInventory::AnswerReserve(const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  reserve_answer_ = status;
}

void FakeInventory::AnswerConfirm(const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  confirm_answer_ = status;
}

void FakeInventory::AnswerConfirmOf(const std::string& reservation_id, const grpc::Status& status) {
  std::lock_guard lock(mutex_);
  confirm_answers_[reservation_id] = status;
}

void FakeInventory::RefuseNext(int calls) {
  std::lock_guard lock(mutex_);
  refuse_ = calls;
}

void FakeInventory::Hold(std::size_t free_confirms) {
  std::lock_guard lock(mutex_);
  held_ = true;
  free_confirms_ = free_confirms;
}

void FakeInventory::Release() {
  std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

bool FakeInventory::AwaitReserves(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, testkit::kLong, [&] { return reserves_.size() >= count; });
}

bool FakeInventory::AwaitConfirms(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, testkit::kLong, [&] { return confirms_.size() >= count; });
}

bool FakeInventory::AwaitReleases(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, testkit::kLong, [&] { return releases_.size() >= count; });
}

bool FakeInventory::AwaitCancelled(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, testkit::kLong, [&] { return cancelled_ >= count; });
}

std::vector<inventory::v1::ReserveRequest> FakeInventory::reserves() const {
  std::lock_guard lock(mutex_);
  return reserves_;
}

std::vector<std::string> FakeInventory::confirms() const {
  std::lock_guard lock(mutex_);
  return confirms_;
}

std::vector<std::string> FakeInventory::releases() const {
  std::lock_guard lock(mutex_);
  return releases_;
}

std::vector<std::string> FakeInventory::releases_even_if_confirmed() const {
  std::lock_guard lock(mutex_);
  return releases_even_if_confirmed_;
}

void FakeInventory::Stop() {
  if (server_ == nullptr) return;
  Release();
  server_->Shutdown(std::chrono::system_clock::now());
  server_ = nullptr;
}

grpc::Status FakeInventory::Refusal() {
  if (refuse_ == 0) return grpc::Status::OK;
  --refuse_;
  return {grpc::StatusCode::UNAVAILABLE, "not now"};
}

void FakeInventory::StandStill(std::unique_lock<std::mutex>& lock, grpc::ServerContext& context) {
  changed_.notify_all();
  // gRPC notifies nobody of a cancelled call.
  while (held_ && !context.IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(2));
  if (held_) ++cancelled_;
  changed_.notify_all();
}

}  // namespace orders
