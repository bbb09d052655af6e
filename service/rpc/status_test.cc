#include "service/rpc/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"
#include "service/rpc/testing/status_details.h"

namespace rpc {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// What a caller in any language reads from the trailer.
google::rpc::Status Trailer(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

TEST(Status, KeepsCodeAndMessageBothWays) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status sent(static_cast<grpc::StatusCode>(code), "why");
    const absl::Status inside = FromGrpc(sent);
    EXPECT_EQ(static_cast<int>(inside.code()), code);
    EXPECT_EQ(std::string(inside.message()), "why");
    EXPECT_EQ(ToGrpc(inside).error_code(), sent.error_code());
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(Status, SendsTheSameStatusInTheTrailer) {
  const grpc::Status sent = ToGrpc(WithErrorInfo(absl::NotFoundError("no order 7"), "d", "R"));
  EXPECT_EQ(Trailer(sent).code(), grpc::NOT_FOUND);
  EXPECT_EQ(Trailer(sent).message(), "no order 7");
  EXPECT_EQ(sent.error_message(), "no order 7");
}

TEST(Status, SendsNoTrailerWithoutDetails) {
  EXPECT_THAT(ToGrpc(absl::NotFoundError("no order 7")).error_details(), IsEmpty());
}

TEST(Status, KeepsDetailsBothWays) {
  absl::Status status =
      WithErrorInfo(absl::ResourceExhaustedError("full"), "orders.v1", "STOCK", {{"sku", "pear"}});
  status = WithRetryInfo(status, std::chrono::milliseconds(2500));
  const absl::Status back = FromGrpc(ToGrpc(status));
  EXPECT_EQ(back, status);
  EXPECT_EQ(CodeAndReason(back, "orders.v1"), "RESOURCE_EXHAUSTED STOCK");
  EXPECT_EQ(Metadata(back, "sku"), "pear");
  const auto retry = DetailOf<google::rpc::RetryInfo>(back);
  EXPECT_EQ(retry.retry_delay().seconds(), 2);
  EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
}

TEST(Status, HidesWhatWasWrongInside) {
  for (const absl::Status& status : {absl::InternalError("disk /dev/sda1 is broken"),
                                     absl::UnknownError("disk /dev/sda1 is broken")}) {
    absl::Status inside = status;
    inside.SetPayload("type.googleapis.com/google.rpc.DebugInfo", absl::Cord("sda1"));
    EXPECT_THAT(ToGrpc(inside).error_details(), IsEmpty());
    const grpc::Status sent =
        ToGrpc(WithErrorInfo(inside, "orders.v1", "ORDER_REFUSED", {{"durable_orders", "7"}}));
    EXPECT_EQ(sent.error_message(), "internal error");
    EXPECT_THAT(sent.error_details(), Not(HasSubstr("sda1")));
    EXPECT_EQ(static_cast<int>(sent.error_code()), static_cast<int>(status.code()));
    // What is for the caller.
    const auto info = DetailOf<google::rpc::ErrorInfo>(FromGrpc(sent));
    EXPECT_EQ(info.reason(), "ORDER_REFUSED");
    EXPECT_EQ(info.metadata().at("durable_orders"), "7");
  }
}

TEST(Status, SendsNoPayloadOfAnyOtherKind) {
  absl::Status status = absl::UnavailableError("busy");
  status.SetPayload("type.googleapis.com/our.Secret", absl::Cord("secret"));
  status.SetPayload("google.rpc.ErrorInfo", absl::Cord("secret"));
  EXPECT_THAT(ToGrpc(status).error_details(), IsEmpty());
}

TEST(Status, IsCutToWhatFitsIntoATrailer) {
  std::string long_text;
  for (int i = 0; i < 5000; ++i) long_text += "\u00e9";
  const grpc::Status sent =
      ToGrpc(WithErrorInfo(absl::NotFoundError("a" + long_text), "orders.v1", long_text));
  EXPECT_EQ(sent.error_code(), grpc::NOT_FOUND);
  EXPECT_LE(sent.error_message().size(), 1010u);
  EXPECT_THAT(sent.error_message(), EndsWith("\u00e9..."));
  EXPECT_THAT(sent.error_details(), IsEmpty());
}

TEST(Status, DropsTheDetailThatIsTooLargeAndNoOther) {
  BadRequest wrong;
  wrong.Add("sku", "must not be empty");
  // On both sides of the large one: in what order they come is abseil's choice.
  absl::Status status =
      WithErrorInfo(wrong.ToStatus(), "orders.v1", "R", {{"sku", std::string(3000, 'x')}});
  status = WithRetryInfo(std::move(status), std::chrono::milliseconds(2500));
  const absl::Status back = FromGrpc(ToGrpc(status));
  EXPECT_EQ(DetailOf<google::rpc::BadRequest>(back).field_violations_size(), 1);
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(back).retry_delay().seconds(), 2);
  EXPECT_FALSE(back.GetPayload("type.googleapis.com/google.rpc.ErrorInfo").has_value());
}

// One such byte, and callers in most languages would see none of the details.
TEST(Status, KeepsItsDetailsThoughItsTextsAreNotUtf8) {
  const absl::Status busy =
      WithRetryInfo(absl::UnavailableError("a\xff\u00e9"), std::chrono::milliseconds(2500));
  EXPECT_EQ(Trailer(ToGrpc(busy)).message(), "a\uFFFD\u00e9");
  EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(FromGrpc(ToGrpc(busy))).retry_delay().seconds(), 2);

  const absl::Status named =
      WithErrorMetadata(WithErrorInfo(absl::AbortedError("x"), "d\xff", "R\xff", {{"a", "\xff"}}),
                        "", "", {{"b\xff", "1"}});
  const auto info = DetailOf<google::rpc::ErrorInfo>(FromGrpc(ToGrpc(named)));
  EXPECT_EQ(info.domain(), "d\uFFFD");
  EXPECT_EQ(info.reason(), "R\uFFFD");
  EXPECT_EQ(info.metadata().at("a"), "\uFFFD");
  EXPECT_EQ(info.metadata().at("b\uFFFD"), "1");

  BadRequest wrong;
  wrong.Add("labels[\xff]", "\xff");
  const auto detail = DetailOf<google::rpc::BadRequest>(FromGrpc(ToGrpc(wrong.ToStatus())));
  ASSERT_EQ(detail.field_violations_size(), 1);
  EXPECT_EQ(detail.field_violations(0).field(), "labels[\uFFFD]");
  EXPECT_EQ(detail.field_violations(0).description(), "\uFFFD");
}

TEST(Status, TakesDetailsThatAreNoneForNone) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::UNAVAILABLE, "busy", "\xff\xff\xff"));
  EXPECT_EQ(status, absl::UnavailableError("busy"));
}

TEST(BadRequest, IsOkWhenNothingWasAdded) { EXPECT_TRUE(BadRequest().ToStatus().ok()); }

TEST(BadRequest, NamesEveryWrongField) {
  BadRequest wrong;
  wrong.Add("items[0].sku", "must not be empty");
  wrong.Add("items[2].quantity", "must be 1 or more");
  const absl::Status status = wrong.ToStatus();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(std::string(status.message()),
            "items[0].sku must not be empty; items[2].quantity must be 1 or more");
  const auto detail = DetailOf<google::rpc::BadRequest>(FromGrpc(ToGrpc(status)));
  ASSERT_EQ(detail.field_violations_size(), 2);
  EXPECT_EQ(detail.field_violations(0).field(), "items[0].sku");
  EXPECT_EQ(detail.field_violations(0).description(), "must not be empty");
  EXPECT_EQ(detail.field_violations(1).field(), "items[2].quantity");
}

TEST(BadRequest, NamesTheFirstAndCountsTheRest) {
  BadRequest wrong;
  for (int i = 0; i < 1000; ++i) {
    wrong.Add("items[" + std::to_string(i) + "].quantity", "must be between 1 and 1000");
  }
  const grpc::Status sent = ToGrpc(wrong.ToStatus());
  EXPECT_LE(sent.error_message().size() + sent.error_details().size(), 4000u);
  const int named = DetailOf<google::rpc::BadRequest>(FromGrpc(sent)).field_violations_size();
  EXPECT_GE(named, 10);
  EXPECT_THAT(sent.error_message(), EndsWith("; and " + std::to_string(1000 - named) + " more"));
}

TEST(BadRequest, LeavesRoomForAnErrorInfoHoweverLongItsTextsAre) {
  const std::string long_text(3000, 'x');
  BadRequest wrong;
  wrong.Add("items[1].sku", "stands here twice: " + long_text);
  wrong.Add("labels[" + long_text + "]", long_text);
  wrong.Add("items[2].sku", "must not be empty");
  const grpc::Status sent = ToGrpc(
      WithErrorMetadata(wrong.ToStatus(), "orders.v1", "ORDER_REFUSED", {{"durable_orders", "2"}}));
  const absl::Status back = FromGrpc(sent);
  EXPECT_EQ(Metadata(back, "durable_orders"), "2");
  const auto detail = DetailOf<google::rpc::BadRequest>(back);
  ASSERT_EQ(detail.field_violations_size(), 1);
  EXPECT_EQ(detail.field_violations(0).field(), "items[1].sku");
  EXPECT_THAT(detail.field_violations(0).description(), StartsWith("stands here twice: xxx"));
  EXPECT_THAT(detail.field_violations(0).description(), EndsWith("xxx..."));
  EXPECT_THAT(sent.error_message(), EndsWith("xxx...; and 2 more"));
}

TEST(BadRequest, LeavesRoomForAnErrorInfoHoweverShortItsTextsAre) {
  BadRequest wrong;
  for (int i = 0; i < 1000; ++i) wrong.Add("a", "b");
  const absl::Status back = FromGrpc(ToGrpc(WithErrorMetadata(
      wrong.ToStatus(), "orders.v1", "ORDER_REFUSED", {{"durable_orders", "2"}})));
  EXPECT_GE(DetailOf<google::rpc::BadRequest>(back).field_violations_size(), 10);
  EXPECT_EQ(Metadata(back, "durable_orders"), "2");
}

TEST(ErrorMetadata, IsAddedToAnExistingErrorInfo) {
  absl::Status status = WithErrorInfo(absl::AbortedError("x"), "orders.v1", "FIRST", {{"a", "1"}});
  status = WithErrorMetadata(status, "other", "SECOND", {{"b", "2"}});
  EXPECT_EQ(CodeAndReason(status, "orders.v1"), "ABORTED FIRST");
  EXPECT_EQ(Metadata(status, "a"), "1");
  EXPECT_EQ(Metadata(status, "b"), "2");
}

TEST(ErrorMetadata, BringsAnErrorInfoWhenThereIsNone) {
  const absl::Status status =
      WithErrorMetadata(absl::AbortedError("x"), "orders.v1", "ONLY", {{"b", "2"}});
  EXPECT_EQ(CodeAndReason(status, "orders.v1"), "ABORTED ONLY");
  EXPECT_EQ(Metadata(status, "b"), "2");
}

TEST(Goodbye, SaysWhyAndWhereToResume) {
  const absl::Status status = FromGrpc(ToGrpc(Goodbye("orders.v1", {{"resume_token", "42"}})));
  EXPECT_EQ(CodeAndReason(status, "orders.v1"), "UNAVAILABLE SERVER_DRAINING");
  EXPECT_EQ(Metadata(status, "resume_token"), "42");
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  EXPECT_EQ(retry.retry_delay().seconds(), 0);
  EXPECT_GT(retry.retry_delay().nanos(), 0);
}

TEST(HasRoomForDetails, IsSaidOfWhatCallersGetWhole) {
  const absl::Status small = Goodbye("a.v1", {{"token", std::string(1800, 'x')}});
  EXPECT_TRUE(HasRoomForDetails(small));
  EXPECT_EQ(FromGrpc(ToGrpc(small)), small);
  const absl::Status large = Goodbye("a.v1", {{"token", std::string(2000, 'x')}});
  EXPECT_FALSE(HasRoomForDetails(large));
  EXPECT_NE(FromGrpc(ToGrpc(large)), large);
}

}  // namespace
}  // namespace rpc
