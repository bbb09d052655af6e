"""The repository's files, for the tests in this directory. They read the real tree, not a copy that Bazel makes."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

# Made by tools, or of one machine only: .gitignore names them too.
NOT_OURS = {".git", "node_modules", "compile_commands.json", "user.bazelrc", "__pycache__"}


def files(below=""):
    """Paths relative to the root, sorted: at least one, or whoever reads them would find nothing wrong."""
    found = []
    for directory, subdirectories, names in os.walk(os.path.join(ROOT, below)):
        subdirectories[:] = sorted(d for d in subdirectories if d not in NOT_OURS and not d.startswith("bazel-"))
        for name in sorted(names):
            path = os.path.join(directory, name)
            if name not in NOT_OURS and not os.path.islink(path):
                found.append(os.path.relpath(path, ROOT))
    if not found:
        raise SystemExit("sources: there is no file below %s" % os.path.join(ROOT, below))
    return found


def read(path):
    """The text of a file, or nothing if it is not text."""
    with open(os.path.join(ROOT, path), "rb") as stream:
        content = stream.read()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def flags(path):
    """The names of the flags that a file defines."""
    return re.findall(r"^ABSL_FLAG\(\s*[^;]*?,\s*(\w+),", read(path), re.M)


def report(test, problems):
    """Prints the problems, one a line, and ends the test."""
    for problem in problems:
        print(problem)
    print("%s: %s" % (test, "%d problems" % len(problems) if problems else "ok"))
    raise SystemExit(1 if problems else 0)
