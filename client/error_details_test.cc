#include "client/error_details.h"

#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using std::chrono::milliseconds;
using testing::Eq;
using testing::Optional;

absl::Status WithRetryDelay(std::int64_t seconds, int nanos) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  info.mutable_retry_delay()->set_nanos(nanos);
  google::rpc::Status status;
  EXPECT_TRUE(status.add_details()->PackFrom(info));
  return FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "", status.SerializeAsString()));
}

TEST(ErrorDetailsTest, OkStaysOk) { EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok()); }

TEST(ErrorDetailsTest, CodeAndMessageAreKept) {
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::NOT_FOUND, "no such order")),
            absl::NotFoundError("no such order"));
}

TEST(ErrorDetailsTest, EveryDetailOfAGoodbyeCanBeRead) {
  const absl::Status status = FromGrpc(Goodbye("resume_token", "t7", 2));
  EXPECT_EQ(ErrorReason(status), "SERVER_DRAINING");
  EXPECT_THAT(ErrorMetadata(status, "resume_token"), Optional(Eq("t7")));
  EXPECT_EQ(ErrorMetadata(status, "durable_orders"), std::nullopt);
  EXPECT_THAT(RetryDelay(status), Optional(milliseconds(2000)));
  EXPECT_EQ(FindBadRequest(status), std::nullopt);
}

TEST(ErrorDetailsTest, EveryFieldViolationCanBeRead) {
  const auto bad = FindBadRequest(FromGrpc(BadRequest({{"customer", "empty"}, {"items", "none"}})));
  ASSERT_TRUE(bad.has_value());
  ASSERT_EQ(bad->field_violations_size(), 2);
  EXPECT_EQ(bad->field_violations(1).field(), "items");
}

TEST(ErrorDetailsTest, MissingAndGarbledDetailsAreNone) {
  for (const std::string& details : {std::string(), std::string("\xff\xff garbage")}) {
    const absl::Status status =
        FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone", details));
    EXPECT_EQ(status, absl::UnavailableError("gone"));
    EXPECT_EQ(ErrorReason(status), "");
    EXPECT_EQ(RetryDelay(status), std::nullopt);
  }
}

TEST(ErrorDetailsTest, ARetryDelayIsRoundedUpAndLimited) {
  EXPECT_THAT(RetryDelay(WithRetryDelay(0, 1)), Optional(milliseconds(1)));
  EXPECT_THAT(RetryDelay(WithRetryDelay(1, 500000000)), Optional(milliseconds(1500)));
  EXPECT_THAT(RetryDelay(WithRetryDelay(-1, -5)), Optional(milliseconds(0)));
  EXPECT_THAT(RetryDelay(WithRetryDelay(INT64_MAX, 0)),
              Optional(milliseconds(std::chrono::hours(24))));
}

TEST(ErrorDetailsTest, TheDescriptionNamesEveryWrongField) {
  EXPECT_EQ(Describe(FromGrpc(BadRequest(
                {{"customer", "must not be empty"}, {"items[0].quantity", "must be at least 1"}}))),
            "INVALID_ARGUMENT: customer: must not be empty; items[0].quantity: must be at least 1");
}

TEST(ErrorDetailsTest, TheDescriptionGivesReasonAndMetadata) {
  EXPECT_EQ(Describe(FromGrpc(Refusal(grpc::StatusCode::FAILED_PRECONDITION, "not enough stock",
                                      "OUT_OF_STOCK", {{"sku", "pear"}, {"available", "1"}}))),
            "FAILED_PRECONDITION: not enough stock (OUT_OF_STOCK, available=1, sku=pear)");
}

TEST(ErrorDetailsTest, TheDescriptionWithoutAMessageIsTheCode) {
  EXPECT_EQ(Describe(absl::UnimplementedError("")), "UNIMPLEMENTED");
  EXPECT_EQ(Describe(FromGrpc(Refusal(grpc::StatusCode::ABORTED, "", "UNDRAINED"))),
            "ABORTED (UNDRAINED)");
}

TEST(ErrorDetailsTest, TheDescriptionIsOneLineWithoutTerminalControls) {
  EXPECT_EQ(Describe(absl::InternalError("a\nb\x1b[2Jc")), "INTERNAL: a b [2Jc");
}

}  // namespace
}  // namespace client
