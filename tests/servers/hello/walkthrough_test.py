#!/usr/bin/env python3
"""What README.md and docs/make-it-yours.md show as taken from a file stands there, line for line."""

import os
import re
import sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))


def read(path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


quotes = re.findall(
    r"<!-- from: (\S+) -->\n\s*```cpp\n(.*?)\n\s*```", read("README.md") + read("docs/make-it-yours.md"), re.DOTALL
)
missing = []
for source, lines in quotes:
    there = {line.strip() for line in read(source).splitlines()}
    missing += [f"{source} has no line: {line.strip()}" for line in lines.splitlines() if line.strip() not in there]
print("\n".join(missing) or f"walkthrough_test: {len(quotes)} quotations")
sys.exit(1 if missing or not quotes else 0)
