#ifndef SERVICE_ORDERS_TESTING_FAKE_INVENTORY_H_
#define SERVICE_ORDERS_TESTING_FAKE_INVENTORY_H_

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/server.h"
#include "inventory/v1/inventory.grpc.pb.h"

namespace orders {

// An inventory server on its own port that does what a test tells it to, and records what it was
// asked.
//
// Threads: any.
class FakeInventory {
 public:
  // Serves at once, and answers OK to everything.
  FakeInventory();
  // Calls Stop().
  ~FakeInventory();

  const std::string& address() const { return address_; }

  // The answers from now on; one for a single reservation takes precedence.
  void AnswerReserve(const grpc::Status& status);
  void AnswerConfirm(const grpc::Status& status);
  void AnswerConfirmOf(const std::string& reservation_id, const grpc::Status& status);
  // First refuses this many calls with UNAVAILABLE.
  void RefuseNext(int calls);

  // Holds calls until Release(), or until they are cancelled; but not the first Confirm calls.
  void Hold(std::size_t free_confirms = 0);
  void Release();

  // Whether this many calls have arrived, including held and refused ones.
  bool AwaitReserves(std::size_t count);
  bool AwaitConfirms(std::size_t count);
  bool AwaitReleases(std::size_t count);
  // Whether this many calls were cancelled while held.
  bool AwaitCancelled(int count);

  std::vector<inventory::v1::ReserveRequest> reserves() const;
  // The reservation ids of the Confirm calls.
  std::vector<std::string> confirms() const;
  // The same of the Release calls, which are never held; of all, and of those that also give back
  // what is confirmed.
  std::vector<std::string> releases() const;
  std::vector<std::string> releases_even_if_confirmed() const;

  // Stops listening, as if the server were gone.
  void Stop();

 private:
  class Service;

  grpc::Status Refusal();
  void StandStill(std::unique_lock<std::mutex>& lock, grpc::ServerContext& context);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  grpc::Status reserve_answer_;                          // Guarded by mutex_.
  grpc::Status confirm_answer_;                          // Guarded by mutex_.
  std::map<std::string, grpc::Status> confirm_answers_;  // Guarded by mutex_.
  int refuse_ = 0;                                       // Guarded by mutex_.
  bool held_ = false;                                    // Guarded by mutex_.
  std::size_t free_confirms_ = 0;                        // Guarded by mutex_. Not held.
  int cancelled_ = 0;                                    // Guarded by mutex_.
  std::vector<inventory::v1::ReserveRequest> reserves_;  // Guarded by mutex_.
  std::vector<std::string> confirms_;                    // Guarded by mutex_.
  std::vector<std::string> releases_;                    // Guarded by mutex_.
  std::vector<std::string> releases_even_if_confirmed_;  // Guarded by mutex_.

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_FAKE_INVENTORY_H_
