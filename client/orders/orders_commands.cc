#include "client/orders/orders_commands.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
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
#include "absl/time/time.h"
#include "client/command_line.h"
#include "client/error_details.h"
#include "client/invocation.h"
#include "client/orders/inventory_client.h"
#include "client/orders/order_lines.h"
#include "client/orders/orders_client.h"
#include "client/orders/progress_bar.h"
#include "client/plain_text.h"
#include "client/terminal.h"

namespace client {

using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using orders::v1::WatchOrdersResponse;

namespace {

absl::StatusOr<std::unique_ptr<OrdersClient>> Connect(
    const Invocation& run, std::optional<std::chrono::milliseconds> patience = std::nullopt) {
  auto options = run.Options(patience);
  if (!options.ok()) return options.status();
  return OrdersClient::Create(run.line.Get("address", "127.0.0.1:50051"), *std::move(options));
}

// 0: no limit.
absl::StatusOr<std::int64_t> Count(const Invocation& run) {
  return run.line.Has("count") ? ParseCount(run.line.Get("count")) : 0;
}

// Called for each thing that a stream brings, with whether it could be printed. Returns whether it
// was.
using Printed = std::function<bool(bool)>;

// Whether the token of a stream that ended so leads nowhere: it is foreign, or its events are removed.
bool IsTokenRefused(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsOutOfRange(status);
}

// Runs a stream that does not end by itself, until Ctrl-C, --count, or an output that takes no
// more.
int Follow(const Invocation& run,
           const std::function<StreamEnd(OrdersClient&, const Printed&, std::stop_token)>& follow) {
  const auto count = Count(run);
  if (!count.ok()) return run.UsageError(count.status());
  std::stop_source stop;
  const std::stop_token interrupt = run.terminal.stop_on_interrupt();
  const std::stop_callback on_interrupt(interrupt, [&stop] { stop.request_stop(); });
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  std::int64_t count_printed = 0;
  const Printed after_each = [&](bool printed) {
    if (printed && ++count_printed == *count) stop.request_stop();
    return printed;
  };
  const StreamEnd end = follow(**client, after_each, stop.get_token());
  const std::string go_on =
      end.resume_token.empty()
          ? ""
          : "go on with: client watch --from=" + ShellWord(end.resume_token) + run.SameServer();
  if (run.output.failed()) return run.OutputLost(go_on);
  int code = kDone;
  if (!end.status.ok()) {
    code = run.Failed(end.status);
  } else if (interrupt.stop_requested() && count_printed < *count) {
    code = run.Complain(kInterrupted,
                        absl::StrCat("interrupted after ", count_printed, " of ", *count));
  }
  if (!go_on.empty() && !IsTokenRefused(end.status)) run.Say(go_on);
  return code;
}

// As JSON with --json.
bool PrintOrder(const Invocation& run, const Order& order) {
  if (run.line.Has("json")) return run.PrintJson(order);
  std::string state(orders::v1::OrderState_Name(order.state()));
  if (state.starts_with("ORDER_STATE_")) state = state.substr(std::strlen("ORDER_STATE_"));
  if (order.state() == orders::v1::ORDER_STATE_UNSPECIFIED) state = "UNKNOWN";
  std::string text = absl::StrFormat("%s  %-9s", std::string(order.order_id()), state);
  if (order.has_create_time()) {
    absl::StrAppend(
        &text, "  ",
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(order.create_time().seconds()),
                         absl::UTCTimeZone()));
  }
  absl::StrAppend(&text, "  ", std::string(order.customer()), " ");
  for (const auto& item : order.items()) {
    absl::StrAppend(&text, " ", std::string(item.sku()), "=", item.quantity());
  }
  return run.PrintLine(text);
}

absl::StatusOr<std::vector<OrderLine>> ReadFile(const Invocation& run, const std::string& name) {
  if (name == "-") return ReadOrderLines(run.terminal.in);
  std::ifstream file(name);
  if (!file) return absl::InvalidArgumentError(std::strerror(errno));
  return ReadOrderLines(file);
}

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

  const std::stop_token stop = run.terminal.stop_on_interrupt();
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto order = (*client)->PlaceOrder(request, stop);
  if (!order.ok()) {
    const std::string open =
        absl::StrCat("The order may be stored: the same command with --request-id=",
                     ShellWord(request.request_id()), " makes sure of it, and stores it once.");
    if (absl::IsCancelled(order.status()) && stop.stop_requested()) {
      return run.Complain(kInterrupted, "interrupted. " + open);
    }
    return run.Failed(order.status(), open);
  }
  if (PrintOrder(run, *order)) return kDone;
  return run.OutputLost("The order is stored: client get " + ShellWord(order->order_id()) +
                        run.SameServer());
}

int Get(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which order? One id");
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto order = (*client)->GetOrder(run.line.words[0]);
  if (!order.ok()) return run.Failed(order.status());
  PrintOrder(run, *order);
  return kDone;
}

int Cancel(const Invocation& run) {
  if (run.line.words.size() != 1) return run.UsageError("which order? One id");
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto order = (*client)->CancelOrder(run.line.words[0]);
  if (!order.ok()) {
    return run.Failed(order.status(), "It may be cancelled: the same command makes sure of it.");
  }
  if (PrintOrder(run, *order)) return kDone;
  return run.OutputLost("The order is cancelled");
}

int Sales(const Invocation& run) {
  if (!run.line.words.empty()) return run.UsageError("shows all SKUs; takes flags only");
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  const auto sales = (*client)->GetSales();
  if (!sales.ok()) return run.Failed(sales.status());
  if (run.line.Has("json")) {
    run.PrintJson(*sales);
    return kDone;
  }
  std::string table;
  for (const auto& one : sales->sales()) {
    absl::StrAppendFormat(&table, "%10d  %s\n", one.quantity(), OneLine(one.sku()));
  }
  run.output.Print(table);
  return kDone;
}

int List(const Invocation& run) {
  if (!run.line.words.empty()) return run.UsageError("shows all orders; `client get ID` one");
  const auto count = Count(run);
  if (!count.ok()) return run.UsageError(count.status());
  const auto client = Connect(run);
  if (!client.ok()) return run.UsageError(client.status());
  OrderList list = (*client)->ListOrders(static_cast<int>(std::min<std::int64_t>(*count, 1000)));
  for (std::int64_t printed = 0; *count == 0 || printed < *count; ++printed) {
    const auto order = list.Next();
    if (!order.ok()) return run.Failed(order.status());
    if (!order->has_value()) break;
    if (!PrintOrder(run, **order)) return run.OutputLost();
  }
  return kDone;
}

int Watch(const Invocation& run) {
  if (!run.line.words.empty()) return run.UsageError("watches all orders; `client track ID` some");
  return Follow(run, [&run](OrdersClient& client, const Printed& printed, std::stop_token stop) {
    return client.WatchOrders(
        {.resume_token = run.line.Get("from")},
        [&](const WatchOrdersResponse::Event& event) {
          return printed(run.line.Has("json") ? run.PrintJson(event)
                                              : PrintOrder(run, event.order()));
        },
        stop);
  });
}

int Track(const Invocation& run) {
  if (run.line.words.empty()) return run.UsageError("which orders? One id or more");
  return Follow(run, [&run](OrdersClient& client, const Printed& printed, std::stop_token stop) {
    const auto tracker = client.TrackOrders();
    tracker->Add(run.line.words);
    return tracker->Run([&](const Order& order) { return printed(PrintOrder(run, order)); }, stop);
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
  const std::string same_file = "the same file with --batch=" + ShellWord(batch);
  if (!run.line.Has("batch")) run.Say("if this is cut short, " + same_file + " stores the rest");
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
    const std::string all = absl::StrCat(total, " orders are stored");
    orders::v1::ImportOrdersResponse response;
    response.set_durable_orders(total);
    if (run.line.Has("json") ? run.PrintJson(response) : run.PrintLine(all)) return kDone;
    return run.OutputLost(all);
  }
  const std::string stored =
      absl::StrCat(end.exact ? "" : "at least ", end.durable_orders, " of ", total,
                   " orders are stored; ", same_file, " stores the rest, and none twice.");
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
  auto options = run.Options();
  if (!options.ok()) return run.UsageError(options.status());
  const auto client =
      InventoryClient::Create(run.line.Get("inventory", "127.0.0.1:50052"), *std::move(options));
  if (!client.ok()) return run.UsageError(client.status());
  const auto stock = (*client)->GetStock(run.line.words);
  if (!stock.ok()) return run.Failed(stock.status());
  if (run.line.Has("json")) {
    for (const auto& one : *stock) run.PrintJson(one);
    return kDone;
  }
  std::string table;
  std::size_t width = std::strlen("SKU");
  for (const auto& one : *stock) width = std::max(width, one.sku().size());
  const auto row = [&](const std::string& sku, const auto&... columns) {
    absl::StrAppendFormat(&table, "%-*s", static_cast<int>(width), OneLine(sku));
    (absl::StrAppendFormat(&table, "  %10s", absl::StrCat(columns)), ...);
    table += "\n";
  };
  row("SKU", "available", "reserved", "confirmed", "initial");
  for (const auto& one : *stock) {
    row(std::string(one.sku()), one.available(), one.reserved(), one.confirmed(), one.initial());
  }
  run.output.Print(table);
  return kDone;
}

}  // namespace

std::vector<Command> OrdersCommands() {
  const Flag address{"address", "HOST:PORT",
                     "where the orders server is (127.0.0.1:50051), or any other gRPC target"};
  const Flag json{"json", "", "print JSON, one message on each line"};
  const Flag timeout{"timeout", "TIME", "how long to wait for the answer (10s)"};
  const Flag patience{"timeout", "TIME", "how long to look for a server that is away (no limit)"};
  const Flag count{"count", "N", "end after so many"};
  std::vector<Command> commands = {
      {"place",
       "--customer=NAME SKU=QUANTITY...",
       "place an order",
       "  client place --customer=ann apple=2 pear=1\n"
       "\n"
       "With a --request-id the same command can be run again: the order is stored once.\n",
       {{"customer", "NAME", "who orders"},
        {"request-id", "ID", "what the order goes by when it is sent again (a new UUID)"},
        address,
        timeout,
        json},
       Place},
      {"get", "ID", "show one order", "", {address, timeout, json}, Get},
      {"cancel", "ID", "cancel an order, confirmed or not", "", {address, timeout, json}, Cancel},
      {"list", "", "show all orders, oldest first", "", {count, address, timeout, json}, List},
      {"watch",
       "",
       "print each change of any order",
       "Prints changes as they happen, until Ctrl-C. Goes on by itself when the server\n"
       "restarts; each change is printed once. At the end it says on stderr from where a later\n"
       "watch goes on. Renewed TLS files are used for new connections.\n",
       {{"from", "start|TOKEN", "begin with the very first change, or behind TOKEN (now)"},
        count,
        address,
        patience,
        json},
       Watch},
      {"import",
       "FILE",
       "place many orders",
       "FILE has one order on each line; - is stdin:\n"
       "\n"
       "  {\"customer\": \"ann\", \"items\": [{\"sku\": \"apple\", \"quantity\": 2}]}\n"
       "\n"
       "Every line is read before the first order is sent. Ends at the first order that is\n"
       "refused. The same file with the same --batch can be imported again: no order is stored\n"
       "twice. An order may have a \"request_id\" of its own instead. After Ctrl-C the server has\n"
       "10 s to say how much is stored.\n",
       {{"batch", "NAME", "what the orders go by when they are sent again (a new UUID)"},
        address,
        {"timeout", "TIME", "how long to look for a server that is away (1m)"},
        json},
       Import},
      {"track",
       "ID...",
       "print some orders and their changes",
       "Prints changes as they happen, until Ctrl-C. Goes on by itself when the server\n"
       "restarts. Renewed TLS files are used for new connections.\n",
       {count, address, patience, json},
       Track},
      {"sales",
       "",
       "show how much of each SKU was ordered",
       "Without cancelled orders. --json also says up to which event of the order log.\n",
       {address, timeout, json},
       Sales},
      {"stock",
       "[SKU...]",
       "show what the inventory has",
       "",
       {{"inventory", "HOST:PORT",
         "where the inventory server is (127.0.0.1:50052), or any other gRPC target"},
        timeout,
        json},
       Stock},
  };
  for (Command& command : commands) {
    for (const Flag& flag : TlsFlags()) command.flags.push_back(flag);
    command.advice = {
        {"UNKNOWN_ORDER", "`client list` shows the orders there are."},
        {"UNKNOWN_SKU", "`client stock` shows the SKUs there are."},
        {"OUT_OF_STOCK", "`client stock` shows what is left."},
        {"EVENTS_REMOVED",
         "Old changes are gone: watch without --from; then `client list` shows the orders as they "
         "are."},
        {"REQUEST_ID_REUSED", "A new order needs a --request-id of its own."},
    };
  }
  return commands;
}

}  // namespace client
