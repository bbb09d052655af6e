#!/usr/bin/env python3
"""The table of flags in docs/operations.md has each flag of each server, and no other. What the client says of flags, it
says of flags that are there without the example."""

import os
import re

import sources

TABLE = "docs/operations.md"
# Where a flag is defined -> whose it is in the table; elsewhere, the room's.
OF = {"service/config": "all", "service": "main"}
# Of the client, without a command.
HELP = "help"


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
    problems += unknown_to_the_client({flag for flag, of in code if of == OF["service/config"]})
    sources.report("flags_test", problems)


main()
