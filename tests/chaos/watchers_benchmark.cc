// What watchers cost those who place orders, and the server:
//
//     bazel run -c opt //tests/chaos:watchers_benchmark
//
// Orders are placed at the real servers, alternately with nobody watching and with many who watch
// all of it. Beside it, in the same run, as many streams of bare gRPC, each message flushed by
// itself, as gRPC's documentation has it.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "orders/v1/orders.grpc.pb.h"
#include "service/rpc/bytes.h"
#include "service/rpc/testing/callers.h"
#include "tests/bench/cpu_time.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/servers/echo/bench.pb.h"

ABSL_FLAG(int, watchers, 1000, "How many streams watch.");
ABSL_FLAG(int, connections, 20, "Over how many connections.");
ABSL_FLAG(int, callers, 16, "How many place one order after the other.");
ABSL_FLAG(int, rounds, 3, "How often everything is measured.");
ABSL_FLAG(absl::Duration, slice, absl::Seconds(4), "How long each time.");

namespace orders {
namespace {

using Server = std::unique_ptr<testkit::ServerProcess>;

// Null: it does not start, and why is said.
Server Start(const std::string& binary, const std::vector<std::string>& flags) {
  auto server = testkit::ServerProcess::Start({.binary = binary, .flags = flags});
  if (server.ok()) return *std::move(server);
  std::fprintf(stderr, "%s: %s\n", binary.c_str(), server.status().ToString().c_str());
  return nullptr;
}

struct Count {
  std::atomic<std::int64_t> messages{0};
  std::atomic<std::int64_t> bytes{0};
};

// A stream that takes in messages as bytes, until it is cancelled.
class Watcher final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Watcher(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
          const google::protobuf::Message& request, Count& count)
      : stub_(channel), request_(rpc::ToBytes(request)), count_(count) {
    stub_.PrepareBidiStreamingCall(&context_, method, {}, this);
    StartWriteLast(&request_, {});
    StartRead(&message_);
    StartCall();
  }
  ~Watcher() override {
    context_.TryCancel();
    ended_.wait(false);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++count_.messages;
    count_.bytes += static_cast<std::int64_t>(message_.Length());
    StartRead(&message_);
  }
  void OnDone(const grpc::Status&) override {
    ended_ = true;
    ended_.notify_all();
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  const grpc::ByteBuffer request_;
  grpc::ByteBuffer message_;
  Count& count_;
  std::atomic<bool> ended_{false};
};

class Watchers {
 public:
  Watchers(const std::string& address, const std::string& method,
           const google::protobuf::Message& request) {
    std::vector<std::shared_ptr<grpc::Channel>> channels(absl::GetFlag(FLAGS_connections));
    for (auto& channel : channels) channel = rpc::NewConnection(address);
    for (int i = 0; i < absl::GetFlag(FLAGS_watchers); ++i) {
      watchers_.emplace_back(channels[i % channels.size()], method, request, count_);
    }
  }

  const Count& count() const { return count_; }

 private:
  Count count_;
  std::deque<Watcher> watchers_;
};

// Threads that place one order after the other.
class Callers {
 public:
  explicit Callers(const std::string& address) {
    for (int i = 0; i < absl::GetFlag(FLAGS_callers); ++i) {
      threads_.emplace_back([this, address, i](const std::stop_token& stop) {
        const auto stub = v1::OrdersService::NewStub(rpc::NewConnection(address));
        for (int n = 0; !stop.stop_requested() && !failed_; ++n) {
          Place(*stub, absl::StrCat(prefix_, i, "-", n));
        }
      });
    }
  }

  std::int64_t placed() const { return placed_; }
  // Whether an order was not placed, and why was said; nobody places one after it.
  bool failed() const { return failed_; }

 private:
  void Place(v1::OrdersService::Stub& stub, const std::string& request_id) {
    v1::PlaceOrderRequest request;
    request.set_request_id(request_id);
    request.set_customer("ann");
    v1::OrderItem& item = *request.add_items();
    item.set_sku("tea");
    item.set_quantity(1);
    grpc::ClientContext context;
    v1::PlaceOrderResponse response;
    const grpc::Status status = stub.PlaceOrder(&context, request, &response);
    if (!status.ok()) {
      std::fprintf(stderr, "an order failed: %s\n", status.error_message().c_str());
      failed_ = true;
      return;
    }
    ++placed_;
  }

  static inline std::atomic<int> made_{0};
  const std::string prefix_ = absl::StrCat(++made_, "-");
  std::atomic<std::int64_t> placed_{0};
  std::atomic<bool> failed_{false};
  std::vector<std::jthread> threads_;
};

// What has happened in a slice.
struct Slice {
  double seconds = 0;
  double cpu = 0;  // Of the server, in microseconds.
  double orders = 0;
  double messages = 0;
  double bytes = 0;
};

Slice Measure(const Server& server, const Callers* callers, const Watchers* watchers) {
  std::this_thread::sleep_for(std::chrono::seconds(1));  // Until all are at it.
  const auto now = [&] {
    return Slice{.seconds = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()),
                 .cpu = bench::CpuSpentBy(server->process().pid()),
                 .orders = callers ? static_cast<double>(callers->placed()) : 0,
                 .messages = watchers ? static_cast<double>(watchers->count().messages) : 0,
                 .bytes = watchers ? static_cast<double>(watchers->count().bytes) : 0};
  };
  const Slice begin = now();
  absl::SleepFor(absl::GetFlag(FLAGS_slice));
  const Slice end = now();
  return {end.seconds - begin.seconds, end.cpu - begin.cpu, end.orders - begin.orders,
          end.messages - begin.messages, end.bytes - begin.bytes};
}

// How long an event is on average, of the first ones.
double BytesOfAnEvent(const std::string& address) {
  const auto stub = v1::OrdersService::NewStub(rpc::NewConnection(address));
  grpc::ClientContext context;
  v1::WatchOrdersRequest request;
  request.set_resume_token("start");
  const auto stream = stub->WatchOrders(&context, request);
  v1::WatchOrdersResponse response;
  double events = 0;
  double bytes = 0;
  while (events < 1000 && stream->Read(&response)) {
    events += response.events_size();
    bytes += static_cast<double>(response.ByteSizeLong());
  }
  context.TryCancel();
  return bytes / events;
}

// Whether all could be measured.
bool MeasureAll() {
  const testkit::TempDir directory;
  const Server inventory =
      Start("service/inventory/inventory",
            {"--database=" + directory.File("inventory.sqlite3"), "--stock=tea=1000000000"});
  if (inventory == nullptr) return false;
  const Server server = Start(
      "service/orders_server",
      {"--database=" + directory.File("orders.sqlite3"), "--inventory=" + inventory->address()});
  const Server bare = Start("tests/bench/bare_server", {});
  if (server == nullptr || bare == nullptr) return false;
  std::printf("%10s %12s %12s %12s %12s %14s %14s\n", "orders/s", "watched", "messages/s",
              "events/s", "us an order", "us an event", "bare, a message");
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    Slice alone;
    Slice watched;
    {
      const Callers callers(server->address());
      alone = Measure(server, &callers, nullptr);
      if (callers.failed()) return false;
    }
    {
      const Watchers watchers(server->address(), "/orders.v1.OrdersService/WatchOrders",
                              v1::WatchOrdersRequest());
      const Callers callers(server->address());
      watched = Measure(server, &callers, &watchers);
      if (callers.failed()) return false;
    }
    Slice flood;
    {
      const Watchers watchers(bare->address(), "/bench.Bench/Watch", bench::WatchRequest());
      flood = Measure(bare, nullptr, &watchers);
    }
    const double an_order = alone.cpu / alone.orders;
    const double events = watched.bytes / BytesOfAnEvent(server->address());
    std::printf("%10.0f %12.0f %12.0f %12.0f %12.1f %14.2f %14.2f\n", alone.orders / alone.seconds,
                watched.orders / watched.seconds, watched.messages / watched.seconds,
                events / watched.seconds, an_order,
                (watched.cpu - watched.orders * an_order) / events, flood.cpu / flood.messages);
    std::fflush(stdout);
  }
  return true;
}

}  // namespace
}  // namespace orders

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return orders::MeasureAll() ? 0 : 1;
}
