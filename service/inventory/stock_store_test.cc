#include "service/inventory/stock_store.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/status_details.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace inventory {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using testkit::Soon;

// "FAILED_PRECONDITION OUT_OF_STOCK"
std::string Refusal(const absl::Status& status) {
  return rpc::CodeAndReason(status, "inventory.v1");
}

class StockStoreTest : public ::testing::Test {
 protected:
  StockStoreTest() {
    store_ = Open();
    EXPECT_TRUE(store_->Seed({{"apple", 10}, {"pear", 5}}, Soon()).ok());
  }
  ~StockStoreTest() override { store_.reset(); }

  std::unique_ptr<StockStore> Open() {
    absl::StatusOr<std::unique_ptr<StockStore>> store =
        StockStore::Open(directory_.File("inventory.sqlite3"), [this] { return now_; });
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // "apple 10 = 7 + 2 + 1": initial = available + reserved + confirmed.
  std::vector<std::string> Stock(const std::vector<std::string>& skus = {}) {
    const absl::StatusOr<std::vector<v1::Stock>> all = store_->Get(skus, Soon());
    EXPECT_TRUE(all.ok()) << all.status();
    std::vector<std::string> lines;
    for (const v1::Stock& stock : *all) {
      EXPECT_EQ(stock.initial(), stock.available() + stock.reserved() + stock.confirmed());
      lines.push_back(absl::StrCat(stock.sku(), " ", stock.initial(), " = ", stock.available(),
                                   " + ", stock.reserved(), " + ", stock.confirmed()));
    }
    return lines;
  }

  std::string Reserve(const std::string& id, const StockStore::Quantities& items,
                      milliseconds ttl = minutes(10)) {
    return Refusal(store_->Reserve(id, items, ttl, Soon()).status());
  }
  std::string Confirm(const std::string& id) { return Refusal(store_->Confirm(id, Soon())); }
  std::string Release(const std::string& id) {
    return Refusal(store_->Release(id, /*even_confirmed=*/false, Soon()));
  }

  const testkit::TempDir directory_;
  std::chrono::system_clock::time_point now_{std::chrono::hours(500'000)};
  std::unique_ptr<StockStore> store_;
};

TEST_F(StockStoreTest, HasAllOfItAvailableAtFirst) {
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 10 + 0 + 0", "pear 5 = 5 + 0 + 0"));
}

TEST_F(StockStoreTest, TakesInOnlySkusUnknownToIt) {
  ASSERT_EQ(Reserve("r", {{"apple", 1}}), "OK");
  ASSERT_TRUE(store_->Seed({{"apple", 99}, {"fig", 3}}, Soon()).ok());
  EXPECT_THAT(Stock(),
              ElementsAre("apple 10 = 9 + 1 + 0", "fig 3 = 3 + 0 + 0", "pear 5 = 5 + 0 + 0"));
}

TEST_F(StockStoreTest, TellsChosenSkusEachOnceAndByName) {
  EXPECT_THAT(Stock({"pear", "apple", "pear"}),
              ElementsAre("apple 10 = 10 + 0 + 0", "pear 5 = 5 + 0 + 0"));
  EXPECT_THAT(Stock({"pear"}), ElementsAre("pear 5 = 5 + 0 + 0"));
  EXPECT_EQ(Refusal(store_->Get({"pear", "plum"}, Soon()).status()), "NOT_FOUND UNKNOWN_SKU");
}

TEST_F(StockStoreTest, ReservesAllItemsOrNone) {
  EXPECT_EQ(Reserve("all", {{"apple", 4}, {"pear", 5}}), "OK");
  EXPECT_EQ(Reserve("too many pears", {{"apple", 1}, {"pear", 1}}),
            "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_EQ(Reserve("unknown", {{"apple", 1}, {"plum", 1}}), "NOT_FOUND UNKNOWN_SKU");
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 6 + 4 + 0", "pear 5 = 0 + 5 + 0"));
}

TEST_F(StockStoreTest, SaysHowMuchStockIsLeft) {
  const absl::Status status =
      store_->Reserve("r", {{"apple", 1}, {"pear", 6}}, minutes(1), Soon()).status();
  EXPECT_THAT(rpc::DetailOf<google::rpc::ErrorInfo>(status).metadata(),
              UnorderedElementsAre(Pair("sku", "pear"), Pair("available", "5")));
}

TEST_F(StockStoreTest, ReservesOnceHoweverOftenItIsAsked) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}), "OK");
  EXPECT_EQ(Reserve("r", {{"apple", 4}}), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 6 + 4 + 0"));
  ASSERT_EQ(Confirm("r"), "OK");
  EXPECT_EQ(Reserve("r", {{"apple", 4}}), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 6 + 0 + 4"));
}

TEST_F(StockStoreTest, RepeatedReserveRenewsButNeverShortens) {
  using Life = std::optional<StockStore::TimePoint>;
  const StockStore::Quantities items{{"apple", 4}};
  EXPECT_EQ(*store_->Reserve("r", items, minutes(2), Soon()), Life(now_ + minutes(2)));
  now_ += minutes(1);
  EXPECT_EQ(*store_->Reserve("r", items, milliseconds(1), Soon()), Life(now_ + minutes(1)));
  EXPECT_EQ(*store_->Reserve("r", items, minutes(2), Soon()), Life(now_ + minutes(2)));
  now_ += minutes(2) - milliseconds(1);
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 6 + 4 + 0"));
  now_ += milliseconds(1);
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 10 + 0 + 0"));
  EXPECT_EQ(*store_->Reserve("r", items, minutes(1), Soon()), Life(now_ + minutes(1)));
  ASSERT_EQ(Confirm("r"), "OK");
  EXPECT_EQ(*store_->Reserve("r", items, minutes(1), Soon()), Life())
      << "confirmed, it never expires";
}

TEST_F(StockStoreTest, RefusesAReservationIdForOtherItems) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}), "OK");
  for (const StockStore::Quantities& other :
       {StockStore::Quantities{{"apple", 5}}, {{"pear", 4}}, {{"apple", 4}, {"pear", 1}}}) {
    EXPECT_EQ(Reserve("r", other), "ALREADY_EXISTS RESERVATION_ID_REUSED");
  }
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 6 + 4 + 0", "pear 5 = 5 + 0 + 0"));
}

TEST_F(StockStoreTest, SellsAReservationOnceAndForGood) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}, {"pear", 1}}), "OK");
  EXPECT_EQ(Confirm("r"), "OK");
  EXPECT_EQ(Confirm("r"), "OK");
  now_ += std::chrono::hours(48);
  EXPECT_EQ(Release("r"), "FAILED_PRECONDITION RESERVATION_CONFIRMED");
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 6 + 0 + 4", "pear 5 = 4 + 0 + 1"));
}

TEST_F(StockStoreTest, GivesAReservationBackOnce) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}), "OK");
  ASSERT_EQ(Reserve("other", {{"apple", 1}}), "OK");
  EXPECT_EQ(Release("r"), "OK");
  EXPECT_EQ(Release("r"), "OK");
  EXPECT_EQ(Confirm("r"), "FAILED_PRECONDITION RESERVATION_RELEASED");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 9 + 1 + 0"));
}

TEST_F(StockStoreTest, ConfirmsNothingThatItDoesNotKnow) {
  EXPECT_EQ(Confirm("unknown"), "NOT_FOUND UNKNOWN_RESERVATION");
}

TEST_F(StockStoreTest, RefusesAReservationThatArrivesAfterItsRelease) {
  EXPECT_EQ(Release("overtaken"), "OK");
  EXPECT_EQ(Release("overtaken"), "OK");
  EXPECT_EQ(Reserve("overtaken", {{"apple", 4}}), "FAILED_PRECONDITION RESERVATION_RELEASED");
  EXPECT_EQ(Confirm("overtaken"), "FAILED_PRECONDITION RESERVATION_RELEASED");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 10 + 0 + 0"));
}

TEST_F(StockStoreTest, GivesBackWhatIsSoldWhenAsked) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}, {"pear", 1}}), "OK");
  ASSERT_EQ(Confirm("r"), "OK");
  EXPECT_EQ(Refusal(store_->Release("r", /*even_confirmed=*/true, Soon())), "OK");
  EXPECT_EQ(Refusal(store_->Release("r", /*even_confirmed=*/true, Soon())), "OK");
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 10 + 0 + 0", "pear 5 = 5 + 0 + 0"));
  EXPECT_EQ(Confirm("r"), "FAILED_PRECONDITION RESERVATION_RELEASED");
  EXPECT_EQ(Release("r"), "OK");
}

// Whatever callers do in whatever order: stock neither appears nor gets lost, and nothing is sold
// twice. Get() checks the sum of each look.
TEST_F(StockStoreTest, KeepsItsSumWhateverHappensInWhateverOrder) {
  std::minstd_rand random(7);
  const auto below = [&random](int n) {
    return static_cast<int>(std::uniform_int_distribution<int>(0, n - 1)(random));
  };
  for (int step = 0; step < 600; ++step) {
    const std::string id = absl::StrCat("r", below(12));
    const StockStore::Quantities items{{"apple", 1 + below(3)}, {"pear", 1 + below(2)}};
    switch (below(5)) {
      case 0:
      case 1:
        Reserve(id, items, minutes(1 + below(5)));
        break;
      case 2:
        Confirm(id);
        break;
      case 3:
        EXPECT_EQ(Refusal(store_->Release(id, below(2) == 0, Soon())).find("UNAVAILABLE"),
                  std::string::npos);
        break;
      default:
        now_ += std::chrono::seconds(below(90));
    }
    for (const std::string& line : Stock()) EXPECT_EQ(line.find('-'), std::string::npos) << line;
    if (step % 100 == 99) {
      ASSERT_TRUE(store_->Close(Soon()).ok());
      store_ = Open();
    }
  }
  // In the end everything is given back, and all of it is there again.
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(store_->Release(absl::StrCat("r", i), /*even_confirmed=*/true, Soon()).ok());
  }
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 10 + 0 + 0", "pear 5 = 5 + 0 + 0"));
}

TEST_F(StockStoreTest, FreesTheStockOfAnExpiredReservation) {
  ASSERT_EQ(Reserve("short", {{"apple", 4}}, milliseconds(1000)), "OK");
  ASSERT_EQ(Reserve("long", {{"apple", 1}, {"pear", 1}}, milliseconds(1001)), "OK");
  now_ += milliseconds(999);
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 5 + 5 + 0", "pear 5 = 4 + 1 + 0"));
  EXPECT_EQ(Reserve("next", {{"apple", 9}}), "FAILED_PRECONDITION OUT_OF_STOCK");
  now_ += milliseconds(1);
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 9 + 1 + 0", "pear 5 = 4 + 1 + 0"));
  EXPECT_EQ(Reserve("next", {{"apple", 9}}), "OK");
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 0 + 10 + 0", "pear 5 = 4 + 1 + 0"));
}

TEST_F(StockStoreTest, ConfirmingTakesAnExpiredReservationAgain) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}, minutes(1)), "OK");
  now_ += minutes(1);
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 10 + 0 + 0"));
  EXPECT_EQ(Confirm("r"), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 6 + 0 + 4"));
}

TEST_F(StockStoreTest, TakesAnExpiredReservationAgain) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}, minutes(1)), "OK");
  now_ += minutes(1);
  EXPECT_EQ(Reserve("r", {{"apple", 5}}), "ALREADY_EXISTS RESERVATION_ID_REUSED");
  EXPECT_EQ(Reserve("r", {{"apple", 4}}, minutes(2)), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 6 + 4 + 0"));
  now_ += minutes(2);
  ASSERT_EQ(Reserve("faster", {{"apple", 7}}), "OK");
  EXPECT_EQ(Reserve("r", {{"apple", 4}}), "FAILED_PRECONDITION OUT_OF_STOCK");
}

TEST_F(StockStoreTest, RefusesToConfirmWhenTheStockIsGone) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}, {"pear", 1}}, minutes(1)), "OK");
  now_ += minutes(1);
  ASSERT_EQ(Reserve("faster", {{"apple", 7}}), "OK");
  EXPECT_EQ(Confirm("r"), "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_THAT(Stock(), ElementsAre("apple 10 = 3 + 7 + 0", "pear 5 = 5 + 0 + 0"));
  ASSERT_EQ(Release("faster"), "OK");
  EXPECT_EQ(Confirm("r"), "FAILED_PRECONDITION RESERVATION_RELEASED") << "as it was told before";
  EXPECT_EQ(Reserve("r", {{"apple", 4}, {"pear", 1}}), "FAILED_PRECONDITION RESERVATION_RELEASED");
}

TEST_F(StockStoreTest, ReleasedStaysReleasedAlsoAfterItHadExpired) {
  ASSERT_EQ(Reserve("r", {{"apple", 4}}, minutes(1)), "OK");
  now_ += minutes(1);
  EXPECT_EQ(Release("r"), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 10 + 0 + 0"));
  EXPECT_EQ(Confirm("r"), "FAILED_PRECONDITION RESERVATION_RELEASED");
}

TEST_F(StockStoreTest, GoesOnWhereItWasWhenOpenedAgain) {
  ASSERT_EQ(Reserve("sold", {{"apple", 1}}), "OK");
  ASSERT_EQ(Confirm("sold"), "OK");
  ASSERT_EQ(Reserve("expires", {{"apple", 2}}, minutes(1)), "OK");
  ASSERT_EQ(Reserve("stays", {{"apple", 4}}, minutes(2)), "OK");
  ASSERT_TRUE(store_->Close(Soon()).ok());
  now_ += minutes(1);
  store_ = Open();
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 5 + 4 + 1"));
  EXPECT_EQ(Reserve("sold", {{"apple", 1}}), "OK");
  EXPECT_EQ(Confirm("stays"), "OK");
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 5 + 0 + 5"));
}

TEST_F(StockStoreTest, TwoProcessesNeverSellMoreThanThereIs) {
  const std::unique_ptr<StockStore> other = Open();
  StockStore* const stores[] = {store_.get(), other.get()};
  std::atomic<int> reserved = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 10; ++i) {
        const std::string id = absl::StrCat(caller, "-", i);
        const absl::Status status =
            stores[caller % 2]->Reserve(id, {{"apple", 1}}, minutes(1), Soon()).status();
        if (status.ok()) {
          ++reserved;
          EXPECT_TRUE(stores[(caller + i) % 2]->Confirm(id, Soon()).ok());
        } else {
          EXPECT_EQ(Refusal(status), "FAILED_PRECONDITION OUT_OF_STOCK") << status;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(reserved, 10);
  EXPECT_THAT(Stock({"apple"}), ElementsAre("apple 10 = 0 + 0 + 10"));
}

TEST_F(StockStoreTest, RefusesEveryCallAfterItWasClosed) {
  ASSERT_TRUE(store_->Close(Soon()).ok());
  EXPECT_TRUE(store_->Close(Soon()).ok());
  for (const absl::Status& answer :
       {store_->Seed({}, Soon()), store_->Reserve("r", {{"apple", 1}}, minutes(1), Soon()).status(),
        store_->Confirm("r", Soon()), store_->Release("r", /*even_confirmed=*/false, Soon()),
        store_->Get({}, Soon()).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(answer)) << answer;
  }
}

}  // namespace
}  // namespace inventory
