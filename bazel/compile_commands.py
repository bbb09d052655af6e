#!/usr/bin/env python3
"""Writes compile_commands.json, for clangd and its like:  ./bazelw run //bazel:compile_commands

Bazel is asked for the compiler's command lines; nothing is compiled, but the generated headers are made.
"""

import json
import os
import subprocess

# gcc's, which clang does not know.
GCC_ONLY = {"-fno-canonical-system-headers", "-Wno-free-nonheap-object", "-Wunused-but-set-parameter"}


def main():
    workspace = os.environ["BUILD_WORKSPACE_DIRECTORY"]

    def bazel(*arguments):
        command = [os.path.join(workspace, "bazelw"), *arguments]
        return subprocess.run(command, cwd=workspace, check=True, stdout=subprocess.PIPE, text=True).stdout

    bazel("build", "--output_groups=compilation_prerequisites_INTERNAL_", "//...")
    actions = json.loads(bazel("aquery", "--output=jsonproto", 'mnemonic("CppCompile", //...)')).get("actions", [])
    # In the execution root generated and external headers have the paths that the commands use.
    directory = bazel("info", "execution_root").strip()
    entries = {}
    for action in actions:
        arguments = [a for a in action["arguments"] if a not in GCC_ONLY]
        source = arguments[arguments.index("-c") + 1]
        if not source.startswith(("bazel-out/", "external/")):
            entries[source] = {"directory": directory, "file": os.path.join(workspace, source), "arguments": arguments}
    with open(os.path.join(workspace, "compile_commands.json"), "w") as out:
        json.dump(list(entries.values()), out, indent=1)
    print("compile_commands.json: %d files" % len(entries))


main()
