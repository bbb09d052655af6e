#!/usr/bin/python3
"""What a real server tells Prometheus: promtool accepts it, it counts what it should, it is there until the process ends,
and the dashboard, the alerts and docs/operations.md name nothing else."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc

from written_file import read_when_written

SERVER, DASHBOARD, ALERTS, DOCUMENT = sys.argv[1:]
LIMIT = 40  # Seconds; only how long a broken test takes to fail.
METRIC = re.compile(r"\b(?:server|grpc_server|process|log)_[a-z_]+\b")


def scrape(http):
    with urllib.request.urlopen("http://%s/metrics" % http, timeout=LIMIT) as answer:
        return answer.read().decode()


def value(text, sample):
    found = re.search(r"^%s (\S+)" % re.escape(sample), text, re.M)
    return float(found.group(1)) if found else None


def expect(what, got, wanted):
    if got != wanted:
        raise SystemExit("%s: %r, not %r" % (what, got, wanted))


def names_of(text):
    return set(re.findall(r"^# TYPE (\w+)", text, re.M))


def check_names(names):
    with open(DASHBOARD) as file:
        panels = json.load(file)["panels"]
    asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    with open(ALERTS) as file:
        asked += file.read()
    used = {re.sub(r"_(bucket|count|sum)$", "", name) for name in METRIC.findall(asked)}
    expect("names that only the dashboard or the alerts know", used - names, set())
    with open(DOCUMENT) as file:
        documented = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \|", file.read(), re.M))
    documented = set(filter(METRIC.match, documented))  # Services have metrics of their own.
    expect("metrics that docs/operations.md does not have", names - documented, set())
    expect("metrics that only docs/operations.md has", documented - names, set())


def call(address):
    channel = grpc.insecure_channel(address)
    echo = channel.unary_unary("/bench.Bench/Echo", lambda message: message, lambda message: message)
    for _ in range(3):
        echo(b"", timeout=LIMIT)
    for method, request in (("/bench.Bench/Echo", b"\xff"), ("/invented.by/Caller", b"")):
        try:
            channel.unary_unary(method)(request, timeout=LIMIT)
        except grpc.RpcError:
            pass
    # Holds the drain until the metrics of a shutdown were read.
    return channel, channel.unary_unary("/bench.Bench/Echo").future(b"\x08\x90\x4e", timeout=LIMIT)


def main(directory):
    ports = [directory + "/" + name for name in ("port", "http")]
    server = subprocess.Popen(
        [SERVER, "--address=127.0.0.1:0", "--port_file=" + ports[0], "--admin_http_address=127.0.0.1:0",
         "--admin_http_port_file=" + ports[1], "--termination_grace=1h", "--shutdown_lame_duck=10m"],
        stderr=subprocess.DEVNULL)
    try:
        address, http = (read_when_written(port, LIMIT) for port in ports)
        channel, held = call(address)
        end = time.monotonic() + LIMIT
        ended = 'grpc_server_call_duration_seconds_count{grpc_method="bench.Bench/Echo",grpc_status="%s"}'
        wanted = {
            'grpc_server_call_started_total{grpc_method="bench.Bench/Echo"}': 5,
            'grpc_server_calls_in_flight{grpc_method="bench.Bench/Echo"}': 1,
            ended % "NOT_REPORTED": 3,  # It has its own reactor.
            ended % "INVALID_ARGUMENT": 1,
            "server_undecodable_requests_total": 1,
        }
        # A call is counted as ended after its caller has got the answer.
        while (got := {sample: value(text := scrape(http), sample) for sample in wanted}) != wanted:
            if time.monotonic() > end:
                expect("the calls", got, wanted)
        expect("an invented name", "invented" in text, False)
        # What the alert CallsAreSlow tells streams from calls by.
        expect("a bucket of ten seconds", bool(re.search(r'_duration_seconds_bucket\{[^}]*le="10"\}', text)), True)
        expect("serving", value(text, 'server_phase{phase="Serving"}'), 1)
        names = names_of(text)
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        expect("promtool: %s%s" % (checked.stdout, checked.stderr), checked.returncode, 0)

        server.send_signal(signal.SIGTERM)
        while value(text := scrape(http), 'server_phase{phase="LameDuck"}') != 1:
            expect("time left", time.monotonic() < end, True)
        expect("time left in the phase", value(text, "server_phase_left_seconds") > 0, True)
        names |= names_of(text)
        held.cancel()
        server.send_signal(signal.SIGINT)  # Expedites it.
        expect("exit code", server.wait(LIMIT), 0)
        check_names(names | {"server_closer_duration_seconds"})  # Which is there while others are still closed.
    finally:
        server.kill()
        server.wait()


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
    main(made)
