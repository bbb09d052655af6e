#!/usr/bin/env python3
"""What no file of the repository may contain, and what its documents may not promise.

 * no path of one person's machine
 * no work left for later without its reason, as in `TODO(until gRPC has it): what`
 * no comment in C++ wider than 120 columns: clang-format leaves comments as they are
 * a path that a document names, in backticks or as a link, exists
A line that has to break the first three says why behind "hygiene:".
"""

import os
import re

import sources

# Somebody's home.
MACHINE = re.compile(r"(?<![\w.])/(?:root|(?:home|Users)/\w+)(?![\w.-])")
# Written so that this file does not contain them.
LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b(?!\([^)]+\): \S)")

ROOMS = ("bazel/", "client/", "deploy/", "docs/", "proto/", "service/", "tests/", ".ci/")
EXAMPLE = (
    "client/orders",
    "deploy/prometheus/orders",
    "proto/inventory",
    "proto/orders",
    "service/inventory",
    "service/orders",
    "tests/chaos",
    "tests/delete_example",
    "tests/rolling",
)
FILE_AT_THE_ROOT = re.compile(r"^[\w.-]+\.(?:md|bazel|bzlmod|yaml|sh|json)$|^\.bazelrc$|^WORKSPACE$|^LICENSE$|^bazelw$")
FENCE = re.compile(r"^\s*(?:```|~~~)")


def check_line(path, number, line):
    if "hygiene:" in line:
        return
    for pattern, what in ((MACHINE, "a path of one machine"), (LATER, "work left for later without a reason")):
        match = pattern.search(line)
        if match:
            yield "%s:%d: %s: %s" % (path, number, what, match.group(0))
    if path.endswith((".cc", ".h")) and line.lstrip().startswith("//") and len(line) > 120:
        yield "%s:%d: a comment of %d columns" % (path, number, len(line))


def named_path(word, document):
    """The path that a word in backticks stands for, or None if it stands for something else."""
    word = word.strip()
    word = re.sub(r"^\./", "", word)
    if word.startswith("//"):
        word = word[2:].split(":")[0].replace("/...", "")
        return word if word and re.match(r"^[\w./-]+$", word) else None
    word = re.sub(r":\d+$", "", word)
    if not re.match(r"^[\w./-]+$", word):
        return None
    if word.startswith(ROOMS) or FILE_AT_THE_ROOT.match(word):
        return word
    return None


def exists(path, document):
    for room in EXAMPLE:
        if path.startswith(room) and not os.path.exists(os.path.join(sources.ROOT, room)):
            return True  # deleted: the documents may still tell of it
    places = [path, os.path.join(os.path.dirname(document), path)]
    return any(os.path.exists(os.path.join(sources.ROOT, place)) for place in places)


def check_document(path, text):
    in_fence = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            in_fence = not in_fence
        if in_fence:
            continue
        for word in re.findall(r"`([^`]+)`", line):
            target = named_path(word, path)
            if target and not exists(target, path):
                yield "%s:%d: `%s` does not exist" % (path, number, word)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not exists(os.path.normpath(os.path.join(os.path.dirname(path), target)), path):
                yield "%s:%d: the link to %s leads nowhere" % (path, number, target)


def main():
    problems = []
    for path in sources.files():
        text = sources.read(path)
        for number, line in enumerate(text.splitlines(), 1):
            problems += check_line(path, number, line)
        if path.endswith(".md"):
            problems += check_document(path, text)
    sources.report("hygiene_test", problems)


main()
