// The real orders server, whose output nobody reads: whatever its callers send, and
// whatever the libraries say of it, everybody is served and the shutdown is clean.
#include <fstream>
#include <future>
#include <iterator>
#include <string>

#include "client/shutdown_report.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "gtest/gtest.h"
#include "service/orders/process/servers_under_test.h"
#include "tests/common/unread_pipe.h"

namespace orders {
namespace {

using testkit::Ending;

class OrdersUnreadOutputTest : public ServersUnderTest {
 protected:
  // A request that is these bytes.
  grpc::Status GetOrder(grpc::GenericStub& stub, const std::string& bytes) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> status;
    stub.UnaryCall(&context, "/orders.v1.OrdersService/GetOrder", {}, &request, &response,
                   [&](grpc::Status ended) { status.set_value(std::move(ended)); });
    return status.get_future().get();
  }

  // Orders with a log that nobody reads, and what it reports in the end.
  void StartOrdersWith(const testkit::UnreadPipe& pipe, const std::string& fd) {
    ASSERT_NO_FATAL_FAILURE(StartInventory());
    ASSERT_NO_FATAL_FAILURE(
        StartOrders(inventory_->address(), {"--shutdown_report=" + report_}, pipe.As(fd)));
  }
  report::v1::ShutdownReport Report() const {
    std::ifstream file(report_);
    const auto report = client::ReadShutdownReport({std::istreambuf_iterator<char>(file), {}});
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : report::v1::ShutdownReport();
  }

  const std::string report_ = directory_.File("report.json");
};

TEST_F(OrdersUnreadOutputTest, EverybodyIsServedWhoseBadRequestsProtobufLogs) {
  const testkit::UnreadPipe log;
  ASSERT_NO_FATAL_FAILURE(StartOrdersWith(log, "2"));
  grpc::GenericStub raw(
      grpc::CreateChannel(orders_->address(), grpc::InsecureChannelCredentials()));
  for (int i = 0; i < 1000; ++i) {
    const grpc::Status refused = GetOrder(raw, "\x0a\x02\xff\xfe");
    ASSERT_NE(refused.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << i;
    ASSERT_FALSE(refused.ok());
  }
  const grpc::Status placed = Place("after them");
  EXPECT_TRUE(placed.ok()) << placed.error_message();
  orders().Signal(SIGTERM);
  EXPECT_EQ(orders().Wait(kLimit), Ending::Exited(0));
  EXPECT_EQ(Report().exit_code(), 0U);
  EXPECT_GT(Report().log_lines_lost(), 0U);
}

TEST_F(OrdersUnreadOutputTest, AServerWhoseStdoutIsFullServes) {
  const testkit::UnreadPipe out;
  ASSERT_NO_FATAL_FAILURE(StartOrdersWith(out, "1"));
  EXPECT_TRUE(Place("one").ok());
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
}

}  // namespace
}  // namespace orders
