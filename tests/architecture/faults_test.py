#!/usr/bin/env python3
"""Every fault in the tables of docs/operations.md names the test that reproduces it, and each of these tests exists."""

import os
import re

import sources

TABLES = "docs/operations.md"
# Of the example, which may be deleted while the document still tells of it.
OF_THE_EXAMPLE = re.compile(r"^Orders")


def defined_tests():
    for path in sources.files():
        if path.endswith("_test.cc"):
            yield from (".".join(name) for name in re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", sources.read(path), re.M))


def main():
    section = re.search(r"^## Faults\n(.*?)(?=^## |\Z)", sources.read(TABLES), re.S | re.M)
    rows = re.findall(r"^\|(?! *(?:fault|---))(.*)\|$", section.group(1) if section else "", re.M)
    problems = [] if rows else ["%s: no table of faults" % TABLES]
    defined = set(defined_tests())
    has_example = os.path.isdir(os.path.join(sources.ROOT, "service/orders"))
    for row in rows:
        cells = [cell.strip() for cell in row.split("|")]
        tests = re.findall(r"`(\w+\.\w+)`", cells[-1])
        if not tests:
            problems.append("%s: no test reproduces: %s" % (TABLES, cells[0]))
        for test in tests:
            if test not in defined and (has_example or not OF_THE_EXAMPLE.match(test)):
                problems.append("%s: there is no test %s" % (TABLES, test))
    sources.report("faults_test", problems)


main()
