#include "client/orders/order_lines.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"

namespace client {

absl::StatusOr<std::vector<OrderLine>> ReadOrderLines(std::istream& in) {
  std::vector<OrderLine> lines;
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    text = std::string(absl::StripAsciiWhitespace(text));
    if (text.empty()) continue;
    OrderLine line{.number = number, .order = {}};
    const auto status = google::protobuf::util::JsonStringToMessage(text, &line.order);
    if (!status.ok()) {
      // The rest of the message repeats the line.
      const std::string message(status.message());
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", message.substr(0, message.find('\n'))));
    }
    lines.push_back(std::move(line));
  }
  if (in.bad()) return absl::InvalidArgumentError("it cannot be read");
  return lines;
}

}  // namespace client
