#include "service/orders/track_orders.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/rpc/field_length.h"
#include "service/rpc/status.h"

namespace orders {
namespace {

// As orders.proto says.
constexpr int kMaxIdsInMessage = 1000;
constexpr std::size_t kMaxFollowed = 10000;
constexpr std::size_t kLongestId = 64;

// How many answers may wait for a caller before its next request is read.
constexpr std::size_t kMostUnread = 4096;
// How many orders are looked up before anybody else has a turn, a drain included.
constexpr std::size_t kBatch = 256;

absl::Status Wrong(const std::string& field, const std::string& description) {
  rpc::BadRequest wrong;
  wrong.Add(field, description);
  return wrong.ToStatus();
}

absl::Status Validate(const v1::TrackOrdersRequest& request) {
  for (const auto& [field, ids] :
       {std::pair("add_order_ids", request.add_order_ids_size()),
        std::pair("remove_order_ids", request.remove_order_ids_size())}) {
    if (ids <= kMaxIdsInMessage) continue;
    return Wrong(field, absl::StrCat("must be at most ", kMaxIdsInMessage, " in one message, are ",
                                     ids, "; send several messages"));
  }
  rpc::BadRequest wrong;
  for (int i = 0; i < request.add_order_ids_size(); ++i) {
    rpc::RequireLength(wrong, absl::StrCat("add_order_ids[", i, "]"), request.add_order_ids(i),
                       kLongestId);
  }
  return wrong.ToStatus();
}

}  // namespace

TrackOrders::TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool)
    : store_(store),
      pool_(pool),
      cursor_(feed.last_sequence(), store, feed, pool, handle()),
      resume_token_(MakeToken(TokenKind::kWatch, store_.DatabaseId(), cursor_.sequence())) {}

bool TrackOrders::CanRead() {
  // A caller who adds faster than the store answers waits.
  return unseen_.empty() && answers_.size() < kMostUnread;
}

void TrackOrders::OnMessage(v1::TrackOrdersRequest& request) {
  if (absl::Status wrong = Follow(request); !wrong.ok()) return End(std::move(wrong));
  LookUp();
}

absl::Status TrackOrders::Follow(const v1::TrackOrdersRequest& request) {
  if (absl::Status wrong = Validate(request); !wrong.ok()) return wrong;
  for (const std::string& id : request.add_order_ids()) {
    if (followed_.try_emplace(id).second) unseen_.push_back(id);
  }
  for (const std::string& id : request.remove_order_ids()) followed_.erase(id);
  if (followed_.size() <= kMaxFollowed) return absl::OkStatus();
  return Wrong("add_order_ids",
               absl::StrCat("one call follows at most ", kMaxFollowed,
                            " orders; remove some, follow the others on another call, or watch all "
                            "orders with WatchOrders"));
}

void TrackOrders::LookUp() {
  if (unseen_.empty()) return;
  const auto end = unseen_.begin() + static_cast<std::ptrdiff_t>(std::min(kBatch, unseen_.size()));
  const bool taken = pool_.Run([this, &store = store_, stream = handle(), over = over_.get_token(),
                                ids = std::vector<std::string>(unseen_.begin(), end)] {
    Found found;
    for (const std::string& id : ids) {
      if (over.stop_requested()) return;
      found.push_back(store.Find(id, OrderStore::DefaultDeadline()));
    }
    stream.Run([this, ids, found = std::move(found)] { OnFound(ids, found); });
  });
  if (!taken) End(Overloaded());
}

void TrackOrders::OnFound(const std::vector<std::string>& order_ids, const Found& found) {
  for (std::size_t i = 0; i < order_ids.size(); ++i) {
    if (!found[i].ok()) return End(FromStore(found[i].status()));
    unseen_.pop_front();
    const auto at = followed_.find(order_ids[i]);
    if (at == followed_.end()) continue;  // Removed meanwhile.
    Followed& followed = at->second;
    v1::Order unknown;
    unknown.set_order_id(order_ids[i]);
    Tell(found[i]->value_or(unknown), followed);
    for (const v1::Order& news : std::exchange(followed.news, {})) Tell(news, followed);
  }
  LookUp();
}

void TrackOrders::OnEvent(const v1::Order& order) {
  const auto at = followed_.find(order.order_id());
  if (at == followed_.end()) return;
  if (at->second.told >= 0) return Tell(order, at->second);
  at->second.news.push_back(order);
}

void TrackOrders::Tell(const v1::Order& order, Followed& followed) {
  if (followed.told >= order.state()) return;
  followed.told = order.state();
  *answers_.emplace_back().mutable_order() = order;
}

bool TrackOrders::Next(v1::TrackOrdersResponse& message) {
  while (answers_.empty()) {
    if (caller_is_done_) End(absl::OkStatus());
    if (ended()) return false;
    const auto event = cursor_.Next();
    if (!event.ok()) End(event.status());
    if (!event.ok() || *event == nullptr) return false;
    OnEvent((*event)->event.order);
  }
  message = std::move(answers_.front());
  answers_.pop_front();
  message.set_resume_token(ResumeToken());
  return true;
}

const std::string& TrackOrders::ResumeToken() {
  // What waits may be news that the cursor has passed.
  if (answers_.empty() && unseen_.empty()) {
    resume_token_ = MakeToken(TokenKind::kWatch, store_.DatabaseId(), cursor_.sequence());
  }
  return resume_token_;
}

rpc::ResumePoint TrackOrders::Goodbye() { return {"orders.v1", {{"resume_token", ResumeToken()}}}; }

}  // namespace orders
