#!/usr/bin/env python3
"""What dockerfile_test.sh needs of Docker.

  dockerfile.py steps FILE                           a Dockerfile's instructions, one a line
  dockerfile.py copy CONTEXT ROOT WORKDIR ARG...     does COPY ARG... into the root folder, but for CONTEXT/.dockerignore
  dockerfile.py run ROOT WORKDIR USER JSON...        becomes what these arrays say, with that root folder as its root

What it does not know is an error: nothing is passed over.
"""

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import sys


def steps(path):
    with open(path, encoding="utf-8") as stream:
        lines = [line for line in stream.read().splitlines() if not re.match(r"\s*#", line)]
    for step in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if step.strip():
            print(step.strip())


def pattern(text):
    """A regular expression for one line of .dockerignore."""
    if text.startswith("!") or set(text) & set("[]\\"):
        raise SystemExit("dockerfile: .dockerignore: %s is not understood" % text)
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", text.strip("/"))
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part) or re.escape(part) for part in parts)


def ignored(context):
    path = os.path.join(context, ".dockerignore")
    if not os.path.exists(path):
        return lambda path: False
    with open(path, encoding="utf-8") as stream:
        lines = [line.strip() for line in stream if line.strip() and not line.startswith("#")]
    return re.compile("|".join(map(pattern, lines))).fullmatch


def put(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        os.remove(target)
    shutil.copy2(source, target, follow_symlinks=False)
    os.chown(target, 0, 0, follow_symlinks=False)


def copy_tree(context, directory, target, is_ignored):
    for entry in sorted(os.listdir(os.path.join(context, directory))):
        inner = os.path.normpath(os.path.join(directory, entry))
        if is_ignored(inner):
            continue
        source, goal = os.path.join(context, inner), os.path.join(target, entry)
        if os.path.isdir(source) and not os.path.islink(source):
            # What is a link in the root folder leads out of it.
            if os.path.islink(goal):
                raise SystemExit("dockerfile: COPY over the link %s is not understood" % goal)
            if not os.path.isdir(goal):
                os.makedirs(goal)
                shutil.copymode(source, goal)
            copy_tree(context, inner, goal, is_ignored)
        else:
            put(source, goal)


def copy(context, root, workdir, *args):
    *names, goal = args
    if any(arg.startswith("-") or set(arg) & set("*?[$\"") for arg in args):
        raise SystemExit("dockerfile: COPY %s is not understood" % " ".join(args))
    target = root + os.path.join(workdir, goal)
    is_ignored = ignored(context)
    for name in names:
        name = name.lstrip("/") or "."
        source = os.path.join(context, name)
        if is_ignored(os.path.normpath(name)) or not os.path.lexists(source):
            raise SystemExit("dockerfile: COPY: there is no %s" % name)
        if os.path.isdir(source):
            copy_tree(context, os.path.normpath(name), target, is_ignored)
        else:
            put(source, os.path.join(target, os.path.basename(name)) if goal.endswith(("/", ".")) else target)


def start_loopback():
    up, name = 1, b"lo"  # IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", name, up))  # SIOCSIFFLAGS


def run(root, workdir, user, *arrays):
    command = sum((json.loads(array) for array in arrays), [])
    start_loopback()
    os.chroot(root)
    os.chdir(workdir)
    number, group = map(int, user.split(":"))
    os.setgroups([])
    os.setgid(group)
    os.setuid(number)
    os.execve(command[0], command, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"})


{"steps": steps, "copy": copy, "run": run}[sys.argv[1]](*sys.argv[2:])
