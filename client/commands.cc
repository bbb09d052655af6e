#include "client/commands.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/admin_client.h"
#include "client/command_line.h"
#include "client/drain_report.h"
#include "client/error_details.h"
#include "client/inventory_client.h"
#include "client/order_lines.h"
#include "client/orders_client.h"
#include "client/progress_bar.h"
#include "client/timeline_svg.h"
#include "client/timeline_text.h"

namespace client {

using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using orders::v1::WatchOrdersResponse;

namespace {

// `patience`: how long to look for a server that is away from its streams, if
// --timeout does not say.
absl::StatusOr<ClientOptions> Options(
    const Invocation& run, std::optional<std::chrono::milliseconds> patience = std::nullopt) {
  ClientOptions options;
  options.clock = run.terminal.clock;
  options.retry.give_up_after = patience;
  if (run.line.Has("timeout")) {
    const auto timeout = ParseTime(run.line.Get("timeout"));
    if (!timeout.ok()) return timeout.status();
    options.timeout = *timeout;
    options.retry.give_up_after = *timeout;
  }
  // Says once what is wrong. That the server drains is not wrong.
  options.retry.on_retry = [&run, said = std::string()](const Interruption& now) mutable {
    const std::string what = Describe(now.why);
    if (now.why.ok() || ErrorReason(now.why) == "SERVER_DRAINING") return;
    if (now.failures > 1 && what == said) return;
    said = what;
    if (run.terminal.err_is_terminal) run.terminal.err << kEraseLine;
    run.Say(what + ". Trying again.");
  };
  return options;
}

absl::StatusOr<std::unique_ptr<OrdersClient>> Connect(
    const Invocation& run, std::optional<std::chrono::milliseconds> patience = std::nullopt) {
  auto options = Options(run, patience);
  if (!options.ok()) return options.status();
  return OrdersClient::Create(run.line.Get("address", "127.0.0.1:50051"), *std::move(options));
}

// 0: no limit.
absl::StatusOr<std::int64_t> Count(const Invocation& run) {
  return run.line.Has("count") ? ParseCount(run.line.Get("count")) : 0;
}

// Runs a stream that does not end by itself, until Ctrl-C or --count. `follow` calls
// its argument after each thing that it has printed.
int Follow(const Invocation& run,
           const std::function<StreamEnd(OrdersClient&, const std::function<void()>& printed,
                                         std::stop_token)>& follow) {
  const auto count = Count(run);
  if (!count.ok()) return run.UsageError(count.status());
  std::stop_source stop;
  const std::stop_callback on_interrupt(run.terminal.stop_on_interrupt(),
                                        [&stop] { stop.request_stop(); });
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  std::int64_t printed = 0;
  const auto after_each = [&] {
    // Nobody reads on: as good as Ctrl-C.
    if (++printed == *count || !run.terminal.out) stop.request_stop();
  };
  const StreamEnd end = follow(**client, after_each, stop.get_token());
  const int code = end.status.ok() ? int{kDone} : run.Failed(end.status);
  // A refused token leads nowhere.
  if (code != kRefused && !end.resume_token.empty()) {
    run.Say("go on with: client watch --from=" + end.resume_token);
  }
  return code;
}

absl::StatusOr<std::unique_ptr<AdminClient>> ConnectToAdmin(const Invocation& run) {
  if (!run.line.words.empty()) return absl::InvalidArgumentError("takes flags only");
  const std::string address = run.line.Get("admin");
  if (address.empty()) {
    return absl::InvalidArgumentError("which server? --admin=HOST:PORT, its --admin_address");
  }
  auto options = Options(run);
  if (!options.ok()) return options.status();
  return AdminClient::Create(address, *std::move(options));
}

void PrintState(const Invocation& run, const admin::v1::State& state) {
  if (run.line.Has("json")) return run.PrintJson(state);
  std::string phase(admin::v1::Phase_Name(state.phase()));
  if (phase.starts_with("PHASE_")) phase = phase.substr(std::strlen("PHASE_"));
  std::string text =
      absl::StrFormat("%-10s  calls=%d  streams=%d  connections=%d  hinted=%d", OneLine(phase),
                      state.calls(), state.streams(), state.connections(), state.hinted_calls());
  if (state.has_time_left()) absl::StrAppend(&text, "  left=", state.time_left().seconds(), "s");
  if (state.drained()) absl::StrAppend(&text, "  drained");
  run.terminal.out << text << std::endl;
}

absl::StatusOr<std::vector<OrderLine>> ReadFile(const Invocation& run, const std::string& name) {
  if (name == "-") return ReadOrderLines(run.terminal.in);
  std::ifstream file(name);
  if (!file) return absl::InvalidArgumentError(std::strerror(errno));
  return ReadOrderLines(file);
}

}  // namespace

int Place(const Invocation& run) {
  PlaceOrderRequest request;
  request.set_customer(run.line.Get("customer"));
  request.set_request_id(run.line.Get("request-id", NewRequestId()));
  for (const std::string& word : run.line.words) {
    const std::size_t equals = word.rfind('=');
    std::int64_t quantity = 0;
    if (equals == std::string::npos || !absl::SimpleAtoi(word.substr(equals + 1), &quantity)) {
      return run.UsageError("\"" + word + "\" is no item: write SKU=QUANTITY, as in apple=2");
    }
    auto* item = request.add_items();
    item->set_sku(word.substr(0, equals));
    item->set_quantity(quantity);
  }
  if (request.customer().empty()) return run.UsageError("who orders? --customer=NAME");
  if (request.items().empty()) return run.UsageError("what is ordered? SKU=QUANTITY...");

  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto order = (*client)->PlaceOrder(request);
  if (!order.ok()) {
    return run.Failed(
        order.status(),
        absl::StrCat("The order may be stored: the same command with --request-id=",
                     std::string(request.request_id()), " makes sure of it, and stores it once."));
  }
  run.PrintOrder(*order);
  return kDone;
}

int Get(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which order? One id");
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto order = (*client)->GetOrder(run.line.words[0]);
  if (!order.ok()) return run.Failed(order.status());
  run.PrintOrder(*order);
  return kDone;
}

int List(const Invocation& run) {
  const auto count = Count(run);
  if (!count.ok()) return run.UsageError(count.status());
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  OrderList list = (*client)->ListOrders(static_cast<int>(std::min<std::int64_t>(*count, 1000)));
  for (std::int64_t printed = 0; *count == 0 || printed < *count; ++printed) {
    const auto order = list.Next();
    if (!order.ok()) return run.Failed(order.status());
    if (!order->has_value()) break;
    run.PrintOrder(**order);
  }
  return kDone;
}

int Watch(const Invocation& run) {
  if (!run.line.words.empty()) return run.UsageError("watches all orders; `client track ID` some");
  return Follow(run, [&run](OrdersClient& client, const auto& printed, std::stop_token stop) {
    return client.WatchOrders(
        {.resume_token = run.line.Get("from")},
        [&](const WatchOrdersResponse& event) {
          if (run.line.Has("json")) {
            run.PrintJson(event);
          } else {
            run.PrintOrder(event.order());
          }
          printed();
        },
        stop);
  });
}

int Track(const Invocation& run) {
  if (run.line.words.empty()) return run.UsageError("which orders? One id or more");
  return Follow(run, [&run](OrdersClient& client, const auto& printed, std::stop_token stop) {
    const auto tracker = client.TrackOrders();
    tracker->Add(run.line.words);
    return tracker->Run(
        [&](const Order& order) {
          run.PrintOrder(order);
          printed();
        },
        stop);
  });
}

int Import(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which file? One, or - for stdin");
  auto lines = ReadFile(run, run.line.words[0]);
  if (!lines.ok()) {
    return run.Complain(kUsage,
                        absl::StrCat(run.line.words[0], ": ", std::string(lines.status().message()),
                                     ". Nothing was sent."));
  }
  const std::string batch = run.line.Get("batch", NewRequestId());
  for (OrderLine& line : *lines) {
    if (!line.order.request_id().empty()) continue;
    line.order.set_request_id(absl::StrCat(batch, "-", line.number));
  }

  const std::stop_token stop = run.terminal.stop_on_interrupt();
  const auto client = Connect(run, std::chrono::minutes(1));
  if (!client.ok()) return run.UsageError(client.status());
  const std::int64_t total = static_cast<std::int64_t>(lines->size());
  ProgressBar bar(run.terminal.err_is_terminal ? &run.terminal.err : nullptr, total);
  auto next = lines->begin();
  const ImportEnd end = (*client)->ImportOrders(
      [&]() -> std::optional<PlaceOrderRequest> {
        if (next == lines->end()) return std::nullopt;
        return (next++)->order;
      },
      {.on_progress = [&](const ImportProgress& p) { bar.Show(p.durable, p.sent); }}, stop);
  bar.Hide();

  if (end.durable_orders == total) {
    if (run.line.Has("json")) {
      orders::v1::ImportOrdersResponse response;
      response.set_durable_orders(total);
      run.PrintJson(response);
    } else {
      run.terminal.out << total << " orders are stored" << std::endl;
    }
    return kDone;
  }
  const std::string stored =
      absl::StrCat(end.durable_orders, " of ", total, " orders are stored; the same file with ",
                   "--batch=", batch, " stores the rest, and none twice.");
  const ExitCode code = ExitCodeFor(end.status);
  if (code == kTryAgain && stop.stop_requested()) {
    return run.Complain(kInterrupted, "interrupted. " + stored);
  }
  // The server says how many it stored when it refused one: that is the next.
  const bool line_known = ErrorMetadata(end.status, "durable_orders").has_value();
  return run.Complain(
      code, absl::StrCat(code == kRefused && line_known
                             ? absl::StrCat("line ", (*lines)[end.durable_orders].number, ": ")
                             : "",
                         Describe(end.status), ". ", stored));
}

int Stock(const Invocation& run) {
  auto options = Options(run);
  if (!options.ok()) return run.UsageError(options.status());
  const auto client =
      InventoryClient::Create(run.line.Get("inventory", "127.0.0.1:50052"), *std::move(options));
  if (!client.ok()) return run.UsageError(client.status());
  const auto stock = (*client)->GetStock(run.line.words);
  if (!stock.ok()) return run.Failed(stock.status());
  std::ostream& out = run.terminal.out;
  if (run.line.Has("json")) {
    for (const auto& one : *stock) run.PrintJson(one);
    return kDone;
  }
  std::size_t width = std::strlen("SKU");
  for (const auto& one : *stock) width = std::max(width, one.sku().size());
  const auto row = [&](const std::string& sku, const auto&... columns) {
    out << absl::StrFormat("%-*s", static_cast<int>(width), OneLine(sku));
    ((out << absl::StrFormat("  %10s", absl::StrCat(columns))), ...);
    out << "\n";
  };
  row("SKU", "available", "reserved", "confirmed", "initial");
  for (const auto& one : *stock) {
    row(std::string(one.sku()), one.available(), one.reserved(), one.confirmed(), one.initial());
  }
  return kDone;
}

int Drain(const Invocation& run) {
  const auto client = ConnectToAdmin(run);
  if (!client.ok()) return run.UsageError(client.status());
  std::optional<std::chrono::milliseconds> limit;
  if (run.line.Has("timeout")) limit = *ParseTime(run.line.Get("timeout"));
  const absl::Status end =
      (*client)->Drain([&run](const admin::v1::State& state) { PrintState(run, state); }, limit);
  if (absl::IsDeadlineExceeded(end)) {
    return run.Complain(kTryAgain, "not yet drained; it goes on. `client state` shows it");
  }
  return end.ok() ? int{kDone} : run.Failed(end);
}

int Undrain(const Invocation& run) {
  const auto client = ConnectToAdmin(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto state = (*client)->Undrain();
  if (!state.ok()) return run.Failed(state.status());
  PrintState(run, *state);
  return kDone;
}

int State(const Invocation& run) {
  const auto client = ConnectToAdmin(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto state = (*client)->GetState();
  if (!state.ok()) return run.Failed(state.status());
  PrintState(run, *state);
  return kDone;
}

int Report(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which report? One FILE");
  const std::string& name = run.line.words[0];
  std::ifstream file;
  if (name != "-") file.open(name);
  if (!file) return run.UsageError(name + ": " + std::strerror(errno));
  std::istream& in = name == "-" ? run.terminal.in : file;
  const auto report = ReadDrainReport({std::istreambuf_iterator<char>(in), {}});
  if (!report.ok()) return run.UsageError(name + " " + std::string(report.status().message()));
  const Timeline timeline = TimelineOf(*report);
  if (!run.line.Has("svg")) {
    run.terminal.out << TimelineText(timeline);
    return kDone;
  }
  const std::string svg = run.line.Get("svg");
  std::ofstream image(svg, std::ios::trunc);
  image << TimelineSvg(timeline);
  image.close();
  if (!image) return run.UsageError(svg + ": " + std::strerror(errno));
  return kDone;
}

}  // namespace client
