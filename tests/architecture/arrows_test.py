#!/usr/bin/env python3
"""The arrows between the rooms are those of ARROWS: in what sources include, in deps and in visibility.

main.cc files and tests/ may know everything; a unit test beside its code, or what it is made of, may use tests/common and the
testing/ folder of the room above, and else keeps to the arrows of its room. A testing/ folder belongs to the room that it lies in.
A unit test in a room within service/rpc may use all that service/rpc may: what it proves shows only in a server that is whole.
"""

import ast
import os
import re

import sources

CORE = {"service/lifecycle", "service/lifecycle/last_resort"}
# The rooms within service/rpc.
WITHIN_RPC = {"service/rpc/calls", "service/rpc/channelz", "service/rpc/connections", "service/rpc/tls"}

# A room -> the rooms that it may use. A room is the longest of these that a path begins with.
ARROWS = {
    "proto/admin": set(),
    "proto/google/rpc": set(),
    "proto/grpc/health": set(),
    "proto/inventory": {"proto/google/rpc"},
    "proto/orders": {"proto/google/rpc"},
    "proto/report": set(),
    "service": CORE,
    "service/files": set(),
    "service/lifecycle": {"service/lifecycle/last_resort"},
    "service/lifecycle/last_resort": set(),
    "service/rpc": CORE | WITHIN_RPC | {"service/files", "proto/google/rpc", "proto/grpc/health"},
    "service/rpc/calls": CORE | {"service/files"},
    "service/rpc/channelz": set(),
    "service/rpc/connections": CORE | {"service/rpc/calls", "service/rpc/channelz"},
    "service/rpc/tls": {"service/files", "service/lifecycle/last_resort"},
    "service/admin": CORE
    | {"service/files", "service/observability", "service/rpc", "service/rpc/calls", "service/rpc/connections", "service/rpc/tls"}
    | {"proto/report", "proto/admin", "proto/google/rpc", "proto/grpc/health"},
    "service/observability": CORE | {"service/files", "proto/report"},
    "service/config": CORE
    | {"service/admin", "service/files", "service/observability", "service/rpc", "service/rpc/calls", "service/rpc/connections", "service/rpc/tls"},
    "service/sqlite": set(),
    "service/postgres": set(),
    "service/inventory": CORE
    | {"service/observability", "service/rpc", "service/rpc/calls", "service/sqlite", "proto/google/rpc", "proto/inventory"},
    "service/orders": CORE
    | {"service/admin", "service/observability", "service/rpc", "service/rpc/calls", "service/rpc/tls", "service/sqlite", "service/postgres"}
    | {"proto/google/rpc", "proto/inventory", "proto/orders"},
    # Callers, who happen to start their servers themselves.
    "service/orders/demo": {"client", "client/orders", "proto/inventory", "proto/orders"},
    "service/orders/process": {"client", "service/admin", "proto/admin", "proto/orders", "service", "service/inventory", "service/postgres"},
    "client": {"proto/admin", "proto/google/rpc", "proto/grpc/health", "proto/report"},
    "client/orders": {"client", "proto/google/rpc", "proto/inventory", "proto/orders"},
}

# How includes and deps of libraries begin.
LIBRARIES = (
    "google/", "grpc", "httplib", "libpq", "prometheus/", "spdlog/", "sqlite3",
    "@com_github_grpc_grpc", "@com_google_protobuf", "@libpq", "@prometheus_cpp", "@spdlog", "@sqlite3",
)

# Rooms that keep these out, also of the rooms within them -> the ones that they use all the same.
KEPT_OUT = {
    "service/lifecycle": (),
    "service/files": (),
    "service/config": (),
    "service/sqlite": ("sqlite3", "@sqlite3"),
    "service/postgres": ("libpq", "@libpq"),
}


def room_of(path):
    """The room of a file, a package or an include path; None for tests/, bazel/ and everything from outside."""
    for candidate in (path, "proto/" + path):
        for room in sorted(ARROWS, key=len, reverse=True):
            if candidate == room or candidate.startswith(room + "/"):
                return room
    return None


def keeps_out(room, used):
    return used.startswith(LIBRARIES) and any(
        (room + "/").startswith(keeper + "/") and not used.startswith(but) for keeper, but in KEPT_OUT.items())


def knows_everything(path):
    return path.startswith("tests/") or os.path.basename(path) == "main.cc"


def is_test(path):
    return bool(re.search(r"_(test|benchmark)\.(cc|h)$|/testing/", path))


def is_kit(path, room):
    """What tests are made of, in the room above."""
    return path.startswith(os.path.dirname(room) + "/testing/")


def may_use(room, other, path, for_test):
    """Whether the room may use `path`, which is of another."""
    if other in ARROWS[room]:
        return True
    whole_server = room in WITHIN_RPC and (other == "service/rpc" or other in ARROWS["service/rpc"])
    return for_test and (whole_server or is_kit(path, room))


def included(path):
    for number, line in enumerate(sources.read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(2)


def check_includes(path):
    room = room_of(path)
    if room is None or knows_everything(path):
        return
    for number, header in included(path):
        where = "%s:%d: %s" % (path, number, header)
        other = room_of(header)
        if other and other != room and not may_use(room, other, header, is_test(path)):
            yield "%s: %s may not use %s" % (where, room, other)
        if header.startswith("tests/") and not (is_test(path) and header.startswith("tests/common/")):
            yield "%s: code may not use tests" % where
        if keeps_out(room, header):
            yield "%s: %s keeps it out" % (where, room)


def strings(node):
    return [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def check_build(path, rooms_with_main):
    package = os.path.dirname(path)
    room = room_of(package)
    if room is None:
        return
    # BUILD files are written in a subset of Python.
    calls = [node for node in ast.walk(ast.parse(sources.read(path), path)) if isinstance(node, ast.Call)]
    for call in calls:
        rule = getattr(call.func, "id", "")
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        for key in ("visibility", "default_visibility"):
            for label in strings(arguments[key]) if key in arguments else []:
                where = "%s:%d: %s" % (path, label.lineno, label.value)
                if label.value == "//visibility:public" and room.startswith("service"):
                    yield "%s: service/ is for this repository" % where
                seen_by = re.match(r"//([^:]*?)(?:/?:(?:__pkg__|__subpackages__))?$", label.value)
                if not seen_by or seen_by.group(1).startswith(("visibility", "tests")):
                    continue
                guest = room_of(seen_by.group(1))
                if guest in (None, room, "service") or guest in rooms_with_main:
                    continue
                if room not in ARROWS[guest]:
                    yield "%s: lets %s in, which may not use %s" % (where, guest, room)
        if rule == "cc_binary" or (rule == "cc_library" and "main.cc" in [s.value for s in strings(call)]):
            continue
        for label in strings(arguments["deps"]) if "deps" in arguments else []:
            where = "%s:%d: %s" % (path, label.lineno, label.value)
            if label.value.startswith("//"):
                target = label.value[2:].split(":")[0]
                other = room_of(target)
                if other and other != room and not may_use(room, other, target + "/", rule == "cc_test"):
                    yield "%s: %s may not use %s" % (where, room, other)
                kit = "testonly" in arguments or package.endswith("/testing")
                if target.startswith("tests") and rule != "cc_test" and not kit:
                    yield "%s: code may not use tests" % where
            if keeps_out(room, label.value):
                yield "%s: %s keeps it out" % (where, room)


def main():
    everything = [path for top in ("service", "client", "proto") for path in sources.files(top)]
    # Nothing would be judged of what uses a room of proto/ that is not drawn; one of service/ would be main's.
    unnamed = [d for d in sorted({os.path.dirname(path) for path in everything})
               if room_of(d) is None and d != "proto" or room_of(d) == "service" != d]
    if unnamed:
        sources.report("arrows_test", [d + ": draw its row in ARROWS, tests/architecture/arrows_test.py" for d in unnamed])
    rooms_with_main = {room_of(path) for path in everything if os.path.basename(path) == "main.cc"}
    problems = []
    for path in everything:
        if path.endswith((".h", ".cc")):
            problems += check_includes(path)
        elif os.path.basename(path) in ("BUILD", "BUILD.bazel"):
            problems += check_build(path, rooms_with_main)
    sources.report("arrows_test", problems)


main()
