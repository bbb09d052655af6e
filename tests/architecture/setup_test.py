#!/usr/bin/env python3
"""Whoever works on the repository gets what .ci/run has, and is judged by the same commands.

 * the development container installs the groups of bazel/packages.txt that .ci/run installs, and nothing else, on the
   Debian of deploy/Dockerfile
 * hooks and workflows run programs, configurations and packages that exist
"""

import json
import os
import re

import sources
import yaml

DOCKERFILE = ".devcontainer/Dockerfile"


def groups(path, text):
    found = re.findall(r"bazel/install_packages((?: [a-z]+)+)$", text, re.M)
    if len(found) != 1:
        raise SystemExit("setup_test: %s: expected one line that installs groups of packages, found %d" % (path, len(found)))
    return found[0].split()


def check_container():
    container = json.loads(sources.read(".devcontainer/devcontainer.json"))
    if container["build"] != {"dockerfile": "Dockerfile", "context": ".."}:
        yield ".devcontainer/devcontainer.json: builds %s" % container["build"]
    text = sources.read(DOCKERFILE)
    wanted = groups(".ci/run", sources.read(".ci/run").replace('step bazel/install', 'bazel/install'))
    if groups(DOCKERFILE, text) != wanted:
        yield "%s: installs %s, and .ci/run %s" % (DOCKERFILE, groups(DOCKERFILE, text), wanted)
    known = set(re.findall(r"^([a-z]+) ", sources.read("bazel/packages.txt"), re.M))
    for group in set(wanted) - known:
        yield "%s: bazel/packages.txt has no group %s" % (DOCKERFILE, group)
    if len(re.findall(r"^RUN ", text, re.M)) != 1:
        yield "%s: runs something else, too" % DOCKERFILE
    base = re.search(r"^FROM (debian:\d+)", sources.read("deploy/Dockerfile"), re.M).group(1)
    if re.findall(r"^FROM (\S+)", text, re.M) != [base]:
        yield "%s: is not made from %s, as deploy/Dockerfile is" % (DOCKERFILE, base)


def check_command(where, command):
    for program in re.findall(r"(?:^|\s)((?:\./|\.ci/|bazel/)[\w./-]+)", command):
        path = os.path.join(sources.ROOT, program)
        if "node_modules" not in program and "--prefix " + program not in command and not os.access(path, os.X_OK):
            yield "%s: %s is no program" % (where, program)
    for package in re.findall(r"//([\w/]+)/\.\.\.", command):
        if not os.path.isdir(os.path.join(sources.ROOT, package)):
            yield "%s: there is no //%s" % (where, package)


def check_hooks():
    path = ".pre-commit-config.yaml"
    for repository in yaml.safe_load(sources.read(path))["repos"]:
        for hook in repository["hooks"]:
            yield from check_command("%s: %s" % (path, hook["id"]), hook["entry"])


def check_workflow(path):
    configs = set(re.findall(r"^(?:build|test):(\w+) ", sources.read(".bazelrc"), re.M))
    for name, job in yaml.safe_load(sources.read(path))["jobs"].items():
        where = "%s: %s" % (path, name)
        for config in job.get("strategy", {}).get("matrix", {}).get("config", []):
            if config not in configs:
                yield "%s: .bazelrc has no configuration %s" % (where, config)
        for step in job["steps"]:
            yield from check_command(where, step.get("run", ""))


def main():
    problems = [*check_container(), *check_hooks()]
    workflows = [path for path in sources.files(".github") if path.endswith((".yml", ".yaml"))]
    if not any(".ci/run\n" in sources.read(path) for path in workflows):
        problems.append(".github/workflows: none runs .ci/run")
    for path in workflows:
        problems += check_workflow(path)
    sources.report("setup_test", problems)


main()
