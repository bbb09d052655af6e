#include "tests/rolling/buf_caller.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include "google/protobuf/util/json_util.h"
#include "orders/v1/orders.pb.h"
#include "tests/common/child_process.h"
#include "tests/rolling/load.h"

namespace rolling {
namespace {

using testkit::Ending;

// Starting it is a load of its own.
constexpr std::chrono::seconds kBetweenCalls{1};

}  // namespace

void PlaceWithBuf(const ForeignTools& tools, const Target& target, Tally& tally, Evidence& evidence,
                  const std::stop_token& stop) {
  const std::string url = (target.tls() ? "https://" : "http://") +
                          target.uri.substr(target.uri.find(':') + 1) +
                          "/orders.v1.OrdersService/PlaceOrder";
  for (OrderMaker orders; !stop.stop_requested(); Pause(kBetweenCalls, stop)) {
    const orders::v1::PlaceOrderRequest request = orders.Next();
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(request, &json).ok()) std::abort();
    testkit::ChildProcess curl(
        {tools.node, tools.buf, "curl", "--protocol=grpc",
         target.tls() ? "--cacert=" + target.certificate_file : "--http2-prior-knowledge",
         "--schema=" + tools.descriptors, "--data=" + json, url});
    const Ending ending = curl.Wait(kCallLimit);
    orders::v1::PlaceOrderResponse placed;
    if (ending == Ending::Exited(0) &&
        google::protobuf::util::JsonStringToMessage(curl.Output(), &placed).ok() &&
        placed.order().request_id() == request.request_id()) {
      tally.Answered();
      evidence.acknowledged.Add({request.request_id(), placed.order().order_id()});
    } else {
      tally.Failed("buf curl: " + curl.Output());
    }
  }
}

}  // namespace rolling
