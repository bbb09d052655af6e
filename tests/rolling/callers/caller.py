#!/usr/bin/python3
"""A Python caller: what it sees of the restarts, a line for each thing.

It configures nothing, neither retry nor health, unless SERVICE_CONFIG names a file: then what that says.

    caller.py place TARGET    places orders and reads them back, one call at a time
    caller.py watch TARGET    watches from the first event on

See process_caller.h for the lines. SIGTERM ends it, after the call that runs.
"""

import os
import signal
import sys
import threading
import uuid

import grpc
from google.protobuf import descriptor_pb2, message_factory

THINK_TIME = float(os.environ["THINK_TIME_MS"]) / 1000
CALL_LIMIT = 60
READS_PER_ORDER = 20

stop = threading.Event()


class Orders:
    """orders.v1.OrdersService as its descriptors say; nothing is generated."""

    def __init__(self, channel):
        with open(os.environ["DESCRIPTORS"], "rb") as file:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read()).file
        self._channel = channel
        self._messages = message_factory.GetMessages(files)

    def message(self, name):
        return self._messages["orders.v1." + name]

    def unary(self, name):
        return self._channel.unary_unary(*self._method(name))

    def stream(self, name):
        return self._channel.unary_stream(*self._method(name))

    def _method(self, name):
        return ("/orders.v1.OrdersService/" + name, self.message(name + "Request").SerializeToString,
                self.message(name + "Response").FromString)


def tell(*words):
    print(*words, flush=True)


def failed(what, error):
    tell("failed", what, error.code().name, str(error.details()).replace("\n", " "))


def place(orders):
    place_order, get_order = orders.unary("PlaceOrder"), orders.unary("GetOrder")
    while not stop.wait(THINK_TIME):
        request = orders.message("PlaceOrderRequest")(request_id=str(uuid.uuid4()), customer="python")
        request.items.add(sku="fig", quantity=1)
        try:
            order = place_order(request, timeout=CALL_LIMIT).order
        except grpc.RpcError as error:
            failed("PlaceOrder", error)
            continue
        tell("order", request.request_id, order.order_id)
        for _ in range(READS_PER_ORDER):
            if stop.wait(THINK_TIME):
                return
            try:
                found = get_order(orders.message("GetOrderRequest")(order_id=order.order_id), timeout=CALL_LIMIT)
                same = found.order.request_id == request.request_id
                tell("answered") if same else tell("failed GetOrder: another order")
            except grpc.RpcError as error:
                failed("GetOrder", error)


def watch(orders):
    watch_orders = orders.stream("WatchOrders")
    token = "start"
    while not stop.is_set():
        stream = watch_orders(orders.message("WatchOrdersRequest")(resume_token=token), wait_for_ready=True)
        signal.signal(signal.SIGTERM, lambda *_: (stop.set(), stream.cancel()))
        if stop.is_set():
            return
        try:
            for message in stream:
                token = message.resume_token or token
                for event in message.events:
                    token = event.resume_token
                    tell("event", event.order.order_id, event.order.state)
            if not stop.is_set():
                tell("failed WatchOrders ended without a goodbye")
        except grpc.RpcError as error:
            if stop.is_set():
                return
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            # Its google.rpc.ErrorInfo; one word is all that is needed of it.
            if b"SERVER_DRAINING" in details:
                tell("resumed")
            else:
                failed("WatchOrders", error)
        stop.wait(0.1)


def channel_to(target, options):
    if "TLS_CERTIFICATE" not in os.environ:
        return grpc.insecure_channel(target, options)
    with open(os.environ["TLS_CERTIFICATE"], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(target, credentials, options + [("grpc.ssl_target_name_override", "localhost")])


def main():
    work, target = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    options = []
    if "SERVICE_CONFIG" in os.environ:
        with open(os.environ["SERVICE_CONFIG"]) as file:
            options.append(("grpc.service_config", file.read()))
    with channel_to(target, options) as channel:
        {"place": place, "watch": watch}[work](Orders(channel))


main()
