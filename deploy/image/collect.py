#!/usr/bin/env python3
"""Collects what programs need to run, and nothing else, into a root folder:   deploy/image/collect.py ROOT PROGRAM...

Each program goes to /usr/bin, with the shared libraries that it is linked with; and there are users, certificates and an
empty /tmp. What is in it is written to /usr/share/sbom/image.cdx.json (CycloneDX): the packages that the libraries come
from, those that are a part of a program among them, with their versions.
"""

import json
import os
import re
import shutil
import subprocess
import sys

USER = 65532
# As in bazel/system_packages.bzl: these are not a part of a program.
NOT_LINKED_IN = {"atomic", "crypto", "dl", "m", "pthread", "rt", "ssl", "zstd"}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\norders:x:%d:%d:orders:/:/sbin/nologin\n" % (USER, USER),
    "etc/group": "root:x:0:\norders:x:%d:\n" % USER,
    # Without it the C library asks DNS first, and not /etc/hosts.
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def libraries(program):
    """The absolute paths of the shared libraries that it loads, the loader included."""
    listed = run("ldd", program)
    missing = re.findall(r"(\S+) => not found", listed)
    if missing:
        raise SystemExit("collect: %s needs %s, which this machine does not have" % (program, ", ".join(missing)))
    return sorted(set(re.findall(r"(/\S+) \(0x", listed)))


def archives(program):
    """The absolute paths of the libraries that are a part of it: gRPC and what it needs (bazel/system_packages.bzl)."""
    version = subprocess.run(["sh", "-c", "pkg-config --modversion grpc"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=False).stdout.strip()
    with open(program, "rb") as stream:
        # No package, or gRPC is not a part of it, or of another version, from elsewhere.
        if not version or b"\0" + version + b"\0" not in stream.read():
            return []
    flags = run("pkg-config", "--static", "--libs", "grpc++", "protobuf").split()
    names = sorted({flag[2:] for flag in flags if flag.startswith("-l")} - NOT_LINKED_IN)
    found = [run("cc", "-print-file-name=lib%s.a" % name).strip() for name in names]
    return [path for path in found if path.startswith("/")]


def put(root, source, target):
    path = os.path.join(root, target.lstrip("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copy(os.path.realpath(source), path)
    os.chmod(path, 0o755)


def packages_of(paths):
    """(name, version, architecture) of each Debian package that one of these files comes from."""
    # Since /lib is a link to /usr/lib, dpkg may know a file under either name.
    names = {path: {path, os.path.realpath(path), re.sub("^/usr", "", os.path.realpath(path))} for path in paths}
    # It fails if it does not know one of them, and names the others.
    found = subprocess.run(["dpkg-query", "-S"] + sorted(set().union(*names.values())), stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, universal_newlines=True, check=False)
    # "libc6:amd64: /lib/ld.so", and where a file has been moved away: "diversion by libc6 from: /lib64/ld.so".
    lines = [line.split(": ") for line in found.stdout.splitlines() if ": " in line and "diversion " not in line]
    owner = {file: packages.split(",")[0] for packages, file in lines}
    packages = set()
    for path in paths:
        known = [owner[name] for name in names[path] if name in owner]
        if not known:
            raise SystemExit("collect: no package has %s, so its version is not known" % path)
        packages.add(known[0])
    listed = run("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n", *sorted(packages))
    return {tuple(line.split(" ")) for line in listed.splitlines()}


def component(name, version, architecture):
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": "pkg:deb/debian/%s@%s?arch=%s" % (name, version, architecture),
    }


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    root, programs = sys.argv[1], sys.argv[2:]
    needed = sorted({path for program in programs for path in libraries(program)})
    for program in programs:
        put(root, program, "/usr/bin/" + os.path.basename(program))
    for path in needed:
        put(root, path, path)
    sources = needed + [path for program in programs for path in archives(program)]
    if os.path.exists(CERTIFICATES):
        put(root, CERTIFICATES, CERTIFICATES)
        os.chmod(root + CERTIFICATES, 0o644)
        sources.append("/usr/sbin/update-ca-certificates")
    os.makedirs(root + "/usr/share/sbom", exist_ok=True)
    os.makedirs(root + "/etc", exist_ok=True)
    os.makedirs(root + "/tmp", exist_ok=True)
    os.chmod(root + "/tmp", 0o1777)
    for name, content in FILES.items():
        with open(os.path.join(root, name), "w", encoding="utf-8") as stream:
            stream.write(content)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.4",
        "version": 1,
        "components": [{"type": "application", "name": os.path.basename(program)} for program in programs] +
                      [component(*package) for package in sorted(packages_of(sources))],
    }
    with open(root + "/usr/share/sbom/image.cdx.json", "w", encoding="utf-8") as stream:
        json.dump(bill, stream, indent=1)
        stream.write("\n")


main()
