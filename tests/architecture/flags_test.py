#!/usr/bin/env python3
"""The table of flags in docs/operations.md has each flag of each server, and no other, and the default that the server
itself says (--print_config). What the client says of flags, it says of flags that are there without the example.

The arguments are the servers: ROOM=BINARY, where ROOM is whose flags it has in the table beside those of all."""

import os
import re
import subprocess
import sys

import sources

TABLE = "docs/operations.md"
# Where a flag is defined -> whose it is in the table; elsewhere, the room's.
OF = {"service/config": "all", "service": "main"}
# Of the client, without a command.
HELP = "help"
# Their defaults are sentences in the table, or they print nothing.
IN_WORDS = {"inventory_tls_name", "platform_grace", "print_config", "stock"}


def defined():
    for path in sources.files("service"):
        if not path.endswith(".cc") or path.endswith(("_test.cc", "_benchmark.cc")):
            continue
        directory = os.path.dirname(path)
        of = OF.get(directory, os.path.relpath(directory, "service"))
        for flag in sources.flags(path):
            yield flag, of


def documented():
    section = re.search(r"^## Flags\n(.*?)(?=^## |\Z)", sources.read(TABLE), re.S | re.M)
    for flag, of in re.findall(r"^\| `--(\w+)` \| (\S+) \|", section.group(1) if section else "", re.M):
        # A room that was deleted: the document may still tell of it.
        if of in OF.values() or os.path.isdir(os.path.join(sources.ROOT, "service", of)):
            yield flag, of


def defaults_of(binary):
    # Of the platform, --platform_grace would be known.
    said = subprocess.run([binary, "--print_config"], stdout=subprocess.PIPE, check=True, env={}).stdout.decode()
    return dict(re.findall(r"^--(\w+)=(.*)$", said, re.M))


def default_in_the_table(text, room, grace):
    """As --print_config has it."""
    share = re.match(r"(\d+)/60\b", text)
    if share:  # Of the grace.
        return "%gs" % (int(share.group(1)) * float(grace.rstrip("s")) / 60)
    value, *others = text.split(", ")
    for other in others:
        of, _, its = other.partition(" ")
        if of == room:
            value = value.rsplit(":", 1)[0] + ":" + its  # Another port.
    value = value.split(": ")[0]
    return "" if value == "none" else value


def wrong_defaults(room, binary):
    said = defaults_of(binary)
    rows = re.findall(r"^\| `--(\w+)` \| (all|%s) \| ([^|]*?) ?\|" % room, sources.read(TABLE), re.M)
    there = set(documented())  # Not of a room that was deleted.
    for flag, of, text in rows:
        if flag in IN_WORDS or (flag, of) not in there:
            continue
        expected = default_in_the_table(text, room, said["termination_grace"])
        if said.get(flag) != expected:
            yield "%s: the default of --%s is %s in the table, and %s in %s" % (TABLE, flag, text, said.get(flag), binary)


def unknown_to_the_client(of_servers):
    """The flags that the client names and that neither it nor every server has. What is in client/orders is not looked
    at: it is the example's."""
    paths = [p for p in sources.files("client") if re.fullmatch(r"client/\w+(?<!_test)\.cc", p)]
    own = {flag for path in paths for flag in re.findall(r'\{"([a-z-]+)", "', sources.read(path))}
    for path in paths:
        said = " ".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', sources.read(path)))
        for flag in sorted(set(re.findall(r"--([a-z]\w*(?:-\w+)*)", said))):
            if flag not in own | of_servers | {HELP}:
                yield "%s: names --%s, which neither the client nor every server has" % (path, flag)


def main():
    code, table = list(defined()), list(documented())
    problems = [] if code else ["service: no flag found"]
    problems += ["%s: --%s of %s is not in the table of flags" % (TABLE, flag, of) for flag, of in code if (flag, of) not in table]
    problems += ["%s: there is no flag --%s of %s" % (TABLE, flag, of) for flag, of in table if (flag, of) not in code]
    problems += ["%s: --%s of %s stands there twice" % (TABLE, *row) for row in sorted(set(table)) if table.count(row) > 1]
    for server in sys.argv[1:]:
        problems += wrong_defaults(*server.split("=", 1))
    problems += unknown_to_the_client({flag for flag, of in code if of == OF["service/config"]})
    sources.report("flags_test", problems)


main()
